//! What a consumer does with which record: topics, events, handlers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::handler::{Reads, Registered};
use super::mistakes::BuildError;
use crate::event::{TopicName, TopicSpec};
use crate::topic::TopicPlan;
use crate::transport::{Follower, TopicNeed};

/// A main topic with the topics around it and what is done with its events.
pub(super) struct MainTopic {
    pub(super) name: TopicName,
    /// Which of its consumer's main topics it is.
    pub(super) number: u64,
    pub(super) around: TopicPlan,
    /// What is declared about it and the topics around it.
    pub(super) declared: Vec<TopicSpec>,
    pub(super) routes: Vec<Route>,
}

/// The handlers of one event, or of whatever lies on the topic.
pub(super) struct Route {
    pub(super) reads: Reads,
    pub(super) handlers: Vec<Arc<Registered>>,
}

impl Route {
    /// Adds a handler whose name no other has: retried records are for the one that they name.
    pub(super) fn add(&mut self, handler: &Arc<Registered>) -> Result<(), BuildError> {
        if self.handlers.iter().any(|other| other.name == handler.name) {
            let (event, handler) = (handler.reads.name(), handler.name.to_string());
            return Err(BuildError::HandlerTwice { event, handler });
        }
        if let Reads::Everything { what, tombstones: true } = handler.reads {
            self.reads = Reads::Everything { what, tombstones: true };
        }
        self.handlers.push(handler.clone());
        Ok(())
    }
}

/// Where a record lies: on a main topic, or on one of its tiers.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) main: Arc<MainTopic>,
    pub(super) tier: Option<usize>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tier {:?}", self.main.name, self.tier)
    }
}

impl MainTopic {
    /// The handlers of an event.
    pub(super) fn handlers(&self, event: &str, version: u32) -> Option<&[Arc<Registered>]> {
        let is = |route: &&Route| matches!(route.reads, Reads::Event { name, version: v } if name == event && v == version);
        self.routes.iter().find(is).map(|route| &*route.handlers)
    }

    /// Whether a record has a handler here as it lies there: without a payload, or with attributes that
    /// cannot be read.
    pub(super) fn takes_raw(&self) -> bool {
        self.routes
            .iter()
            .any(|route| matches!(route.reads, Reads::Everything { tombstones: true, .. }))
    }

    /// The one route of this topic, where there is only one: what a plain record must be.
    pub(super) fn only(&self) -> Option<&Route> {
        match &*self.routes {
            [route] => Some(route),
            _ => None,
        }
    }
}

/// All topics of a consumer.
#[derive(Debug, Default)]
pub(super) struct Topics {
    places: BTreeMap<TopicName, Place>,
}

impl Topics {
    pub(super) fn add(&mut self, main: Arc<MainTopic>) {
        for (tier, (_, topic)) in main.around.tiers.iter().enumerate() {
            self.places.insert(topic.clone(), Place { main: main.clone(), tier: Some(tier) });
        }
        self.places.insert(main.name.clone(), Place { main, tier: None });
    }

    pub(super) fn place(&self, topic: &TopicName) -> Option<&Place> {
        self.places.get(topic)
    }

    /// Main topics and tiers, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = &TopicName> {
        self.places.keys()
    }

    /// The main topics, by name.
    pub(super) fn mains(&self) -> Vec<&Arc<MainTopic>> {
        let mains = self.places.values().filter(|place| place.tier.is_none());
        mains.map(|place| &place.main).collect()
    }

    /// What every topic that is read or written has to be.
    pub(super) fn needs(&self) -> Vec<TopicNeed> {
        let needs = |main: &&Arc<MainTopic>| {
            let TopicPlan { tiers, dead_letter, quarantine, .. } = &main.around;
            let plain = [Some(&main.name), dead_letter.as_ref(), Some(quarantine)];
            let mut needs: Vec<_> =
                plain.into_iter().flatten().cloned().map(TopicNeed::plain).collect();
            needs.extend(tiers.iter().map(|(_, tier)| TopicNeed {
                like: Some(main.name.clone()),
                append_time: true,
                ..TopicNeed::plain(tier.clone())
            }));
            for need in &mut needs {
                need.declared =
                    main.declared.iter().find(|spec| *spec.name() == need.name).cloned();
            }
            needs
        };
        self.mains().iter().flat_map(needs).collect()
    }

    /// The tiers, each behind its main topic.
    pub(super) fn followers(&self) -> Vec<Follower> {
        let follow = |main: &Arc<MainTopic>| {
            let leader = main.name.clone();
            let tiers = main.around.tiers.iter();
            tiers
                .map(move |(_, topic)| Follower { topic: topic.clone(), leader: leader.clone() })
                .collect::<Vec<_>>()
        };
        self.mains().into_iter().flat_map(follow).collect()
    }
}
