//! From handlers to topics: which record goes to whom, and which topics that takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builder::{ConsumerBuilder, Ignored};
use super::handler::Reads;
use super::mistakes::BuildError;
use super::plan::{MainTopic, Route, Topics};
use crate::event::TopicName;
use crate::retry::RetryPolicy;
use crate::topic::{TopicNaming, TopicPlan};

impl ConsumerBuilder {
    pub(super) fn plan(
        &mut self,
        group: &str,
        retry: &RetryPolicy,
        naming: &TopicNaming,
    ) -> Result<Topics, BuildError> {
        let mut routes: BTreeMap<TopicName, Vec<Route>> = BTreeMap::new();
        let mut declared = std::mem::take(&mut self.declared);
        let needs = self.handlers.iter().flat_map(|handler| &handler.topics);
        declared.extend(needs.filter_map(|need| need.declared.clone()));
        let of = |name: &TopicName| declared.iter().find(|spec| spec.name() == name).cloned();
        for mut handler in self.handlers.drain(..) {
            for layer in self.layers.iter().rev() {
                handler.call = layer(handler.call);
            }
            let handler = Arc::new(handler);
            for need in &handler.topics {
                let routes = routes.entry(need.name.clone()).or_default();
                match routes.iter_mut().find(|route| route.reads.is_with(handler.reads)) {
                    Some(route) => route.add(&handler)?,
                    None => {
                        routes
                            .push(Route { reads: handler.reads, handlers: vec![handler.clone()] });
                    }
                }
            }
        }
        for Ignored { event, version, topics } in self.ignored.drain(..) {
            for topic in topics {
                let Some(routes) = routes.get_mut(&topic) else { continue };
                let reads = Reads::Event { name: event, version };
                if routes.iter().any(|route| route.reads == reads) {
                    return Err(BuildError::HandledAndIgnored { event, topic });
                }
                routes.push(Route { reads, handlers: Vec::new() });
            }
        }
        alone(&routes)?;
        let mut topics = Topics::default();
        for (number, (name, routes)) in (0..).zip(routes) {
            let mut around = TopicPlan::of(&name, group, retry, naming)
                .map_err(|source| BuildError::Topics { topic: name.clone(), source })?;
            self.place_dead_letters(&mut around, retry)?;
            let mut own = of(&name).map_or_else(Vec::new, |main| around.declared(&main));
            for topic in around.topics() {
                let Some(said) = of(topic) else { continue };
                own.retain(|spec| spec.name() != topic);
                own.push(said);
            }
            topics.add(Arc::new(MainTopic { name, number, around, declared: own, routes }));
        }
        Ok(topics)
    }

    /// All dead letters on one topic, where that was asked for.
    fn place_dead_letters(
        &self,
        around: &mut TopicPlan,
        retry: &RetryPolicy,
    ) -> Result<(), BuildError> {
        let Some(name) = self.dead_letters.as_ref().filter(|_| retry.dead_letter) else {
            return Ok(());
        };
        around.dead_letter = None;
        if around.topics().any(|topic| topic == name) {
            return Err(BuildError::Setting(format!(
                "{name} cannot hold the dead letters of {}: it is one of its other topics",
                around.main
            )));
        }
        around.dead_letter = Some(name.clone());
        Ok(())
    }
}

/// What takes whatever lies on a topic has it for itself.
fn alone(routes: &BTreeMap<TopicName, Vec<Route>>) -> Result<(), BuildError> {
    for (topic, routes) in routes {
        let Some(all) = routes.iter().find(|route| route.reads.is_everything()) else { continue };
        let Some(other) = routes.iter().find(|route| !route.reads.is_everything()) else {
            continue;
        };
        let handler =
            all.handlers.first().map_or_else(String::new, |handler| handler.name.to_string());
        return Err(BuildError::NotAlone {
            handler,
            reads: all.reads.name(),
            topic: topic.clone(),
            event: other.reads.name(),
        });
    }
    Ok(())
}
