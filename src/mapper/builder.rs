//! How a mapper is put together, and what is checked before it exists.

use std::any::{TypeId, type_name};
use std::sync::Arc;

use super::{BuildError, DomainEventSet, EventMapper, Inner, IntoEvents, MapFn, Rule};
use crate::event::{DomainEvent, IntegrationEvent};
use crate::mapper::type_map::TypeMap;

/// What becomes at run time of a domain event that the mapper was never told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unmapped {
    /// It is an error (default): a new domain event cannot be forgotten.
    #[default]
    Error,
    /// It stays inside the service.
    Ignore,
}

/// Says what becomes of each domain event; see [`EventMapper::builder`].
#[derive(Default)]
#[must_use = "nothing is mapped before `build()`"]
pub struct EventMapperBuilder {
    rules: TypeMap<Rule>,
    covered: Vec<(TypeId, &'static str)>,
    twice: Vec<&'static str>,
    both: Vec<&'static str>,
    unmapped: Unmapped,
}

impl EventMapperBuilder {
    /// Maps `D` to one `E` through `impl From<&D> for E`.
    pub fn map<D: DomainEvent, E>(self) -> Self
    where
        E: IntegrationEvent + for<'a> From<&'a D>,
    {
        self.map_with(|event: &D| E::from(event))
    }

    /// Maps `D` through a function that answers an integration event, an `Option`, a `Vec` or an array
    /// of them, `()`, or [`Events`](super::Events) of several types.
    pub fn map_with<D: DomainEvent, O: IntoEvents>(
        mut self,
        map: impl Fn(&D) -> O + Send + Sync + 'static,
    ) -> Self {
        let map: MapFn = Box::new(move |event, events| {
            // The rule is stored under `D`, so that it never meets another type.
            if let Some(event) = event.downcast_ref::<D>() {
                map(event).into_events(events);
            }
        });
        match self.rules.insert(TypeId::of::<D>(), Rule::Map(map)) {
            None => {}
            Some(Rule::Map(_)) => self.twice.push(type_name::<D>()),
            Some(Rule::Ignore) => self.both.push(type_name::<D>()),
        }
        self
    }

    /// Says that `D` stays inside the service.
    pub fn ignore<D: DomainEvent>(mut self) -> Self {
        if let Some(Rule::Map(_)) = self.rules.insert(TypeId::of::<D>(), Rule::Ignore) {
            self.both.push(type_name::<D>());
        }
        self
    }

    /// Says which domain events there are: one of them neither mapped nor ignored fails
    /// [`build`](Self::build). Sets of several calls add up.
    pub fn covers<S: DomainEventSet>(mut self) -> Self {
        S::each(&mut |id, name| self.covered.push((id, name)));
        self
    }

    /// What becomes at run time of a type never mentioned. Default: [`Unmapped::Error`].
    pub fn unmapped(mut self, unmapped: Unmapped) -> Self {
        self.unmapped = unmapped;
        self
    }

    /// Checks and finishes the mapper.
    ///
    /// # Errors
    /// When a type is mapped twice, mapped and ignored, or covered and neither; all such types are named.
    pub fn build(self) -> Result<EventMapper, BuildError> {
        let Self { rules, covered, twice, both, unmapped } = self;
        if !twice.is_empty() {
            return Err(BuildError::MappedTwice { events: named(twice) });
        }
        if !both.is_empty() {
            return Err(BuildError::MappedAndIgnored { events: named(both) });
        }
        let missing: Vec<_> = covered
            .iter()
            .filter(|(id, _)| !rules.contains_key(id))
            .map(|(_, name)| *name)
            .collect();
        if !missing.is_empty() {
            return Err(BuildError::NotMapped { events: named(missing) });
        }
        Ok(EventMapper(Arc::new(Inner { rules, unmapped })))
    }
}

/// Each name once, in the order of their first mention.
fn named(mut names: Vec<&'static str>) -> Vec<&'static str> {
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    names
}
