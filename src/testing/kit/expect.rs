//! Assertions about the events of one type; where one fails it tells the whole story.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::super::step::{Did, Stepped};
use super::TestKit;
use super::diff::{Plain, same};
use super::events::Moved;
use super::story::Entry;
use super::telling::{tell, time};
use crate::event::{Envelope, IntegrationEvent, header};
use crate::transport::Aside;

/// How late a retry may begin after its tier's time.
const LATE: Duration = Duration::from_secs(1);
/// The broker's time has whole milliseconds: what is stored late in one is due that much earlier.
const TICK: Duration = Duration::from_millis(1);

/// What is expected of the events of one type; see [`TestKit::expect`].
///
/// Every assertion is about all events of the type, or about those that [`matching`](Self::matching)
/// leaves, and answers itself, so that the next one can follow. Counts are exact.
pub struct Expect<'a, E> {
    kit: &'a TestKit,
    only: Vec<Accepts<'a, E>>,
}

type Accepts<'a, E> = Box<dyn Fn(&E) -> bool + 'a>;

impl TestKit {
    /// Begins assertions about the events of a type. Let the kit be [`settled`](Self::settled) first.
    #[must_use]
    pub fn expect<E: IntegrationEvent>(&self) -> Expect<'_, E> {
        Expect { kit: self, only: Vec::new() }
    }
}

impl<'a, E: IntegrationEvent> Expect<'a, E> {
    /// From here on only events that `is` accepts are looked at; called again, both must accept.
    #[must_use]
    pub fn matching(mut self, is: impl Fn(&E) -> bool + 'a) -> Self {
        self.only.push(Box::new(is));
        self
    }

    /// So many were published.
    ///
    /// # Panics
    /// When it were more or fewer.
    #[track_caller]
    pub fn published(self, times: usize) -> Self {
        let published = self.those(self.kit.published::<E>());
        if published.len() != times {
            let mut text = self.count("published", times, published.len());
            for envelope in &published {
                let _ = writeln!(text, "  {}", json(&envelope.event));
            }
            for why in self.unreadable() {
                let _ = writeln!(text, "  and a record that says it is one: {why}");
            }
            self.fail(&text);
        }
        self
    }

    /// Exactly these were published, in this order. Compared is what is on the wire: their JSON.
    ///
    /// # Panics
    /// When others were, more, fewer, or in another order.
    #[track_caller]
    pub fn published_exactly(self, events: impl IntoIterator<Item = E>) -> Self {
        let plain = |event: &E| Plain::of(event);
        let expected: Result<Vec<_>, _> = events.into_iter().map(|event| plain(&event)).collect();
        let published = self.those(self.kit.published::<E>());
        let was: Result<Vec<_>, _> = published.iter().map(|one| plain(&one.event)).collect();
        let compared = expected.and_then(|expected| same(&expected, &was?));
        if let Err(text) = compared {
            self.fail(&text);
        }
        self
    }

    /// A handler finished them so many times, all together. The handler's name, or `group/handler`.
    ///
    /// # Panics
    /// When it were more or fewer.
    #[track_caller]
    pub fn handled_by(self, handler: &str, times: usize) -> Self {
        let handled = self.those(self.kit.handled::<E>(handler)).len();
        if handled != times {
            let mut text = self.count(&format!("handled by {handler:?}"), times, handled);
            text += &self.names(handler);
            self.fail(&text);
        }
        self
    }

    /// A handler dropped them so many times, all together.
    ///
    /// # Panics
    /// When it were more or fewer.
    #[track_caller]
    pub fn dropped_by(self, handler: &str, times: usize) -> Self {
        let dropped = self.those(self.kit.dropped::<E>(handler)).len();
        if dropped != times {
            let mut text = self.count(&format!("dropped by {handler:?}"), times, dropped);
            text += &self.names(handler);
            self.fail(&text);
        }
        self
    }

    /// A handler's retries: they went to the tiers so many times, and waited there so long each, in
    /// this order. None may come before its time, nor a second after it. Retries in place are not
    /// counted. `[]`: it never had to be retried.
    ///
    /// # Panics
    /// When it were more or fewer, or one of them began at another time.
    #[track_caller]
    pub fn retried_after(self, handler: &str, waits: impl IntoIterator<Item = Duration>) -> Self {
        let waits: Vec<_> = waits.into_iter().collect();
        let were = self.waits(handler);
        let right = |(wait, was): (&Duration, &Option<Duration>)| {
            was.is_some_and(|was| was + TICK >= *wait && was < *wait + LATE)
        };
        if were.len() != waits.len() || !waits.iter().zip(&were).all(right) {
            let name = E::NAME;
            let shown = |was: &Option<Duration>| match was {
                Some(was) => format!("{was:?}"),
                None => "not begun".to_owned(),
            };
            let were: Vec<_> = were.iter().map(shown).collect();
            let mut text = format!(
                "expected {name}{} to be retried by {handler:?} after {waits:?}, but it was after [{}]\n",
                self.narrowed(),
                were.join(", ")
            );
            text += &self.names(handler);
            self.fail(&text);
        }
        self
    }

    /// So many of them became dead letters, and each says this of its reason, or more.
    ///
    /// # Panics
    /// When it were more or fewer, or one says something else.
    #[track_caller]
    pub fn dead_lettered(self, times: usize, reason: &str) -> Self {
        let mut dead = self.kit.dead_lettered::<E>();
        dead.retain(|moved| self.accepts(&moved.event.event));
        self.aside("dead-lettered", &dead, times, reason, "");
        self
    }

    /// So many of them became dead letters of a handler, and each says this of its reason, or more.
    ///
    /// # Panics
    /// When it were more or fewer, or one says something else.
    #[track_caller]
    pub fn dead_lettered_by(self, handler: &str, times: usize, reason: &str) -> Self {
        let mut dead = self.kit.dead_lettered::<E>();
        dead.retain(|moved| moved.is_by(handler) && self.accepts(&moved.event.event));
        let names = if dead.is_empty() { self.names(handler) } else { String::new() };
        self.aside(&format!("dead-lettered by {handler:?}"), &dead, times, reason, &names);
        self
    }

    /// So many records of the topics of this type were put in quarantine, and each says this of its
    /// reason, or more. Nobody could read them, so `matching` does not narrow them down.
    ///
    /// # Panics
    /// When it were more or fewer, or one says something else.
    #[track_caller]
    pub fn quarantined(self, times: usize, reason: &str) -> Self {
        let mut records = self.kit.quarantined();
        let topics = E::topics();
        records.retain(|moved| {
            let first = moved.event.headers.get_str(header::ORIGIN_TOPIC);
            topics.iter().any(|topic| *topic == moved.event.topic || Some(topic.as_str()) == first)
        });
        self.aside("put in quarantine", &records, times, reason, "");
        self
    }

    #[track_caller]
    fn aside<T>(&self, what: &str, moved: &[Moved<T>], times: usize, reason: &str, names: &str) {
        let wrong = moved.iter().any(|moved| !moved.reason.contains(reason));
        if moved.len() == times && !wrong {
            return;
        }
        let mut text = self.count(what, times, moved.len());
        if wrong {
            let (name, narrowed) = (E::NAME, self.narrowed());
            text = format!(
                "expected each {name}{narrowed} to be {what} for a reason that contains {reason:?}\n"
            );
        }
        for Moved { at, group, handler, attempt, reason, .. } in moved {
            let who = handler.as_ref().map_or(group.clone(), |name| format!("{group}/{name}"));
            let at = time(*at);
            let failed = match attempt {
                0 => String::new(),
                attempt => format!(", which failed at attempt {attempt}"),
            };
            let _ = writeln!(text, "  {at}, by {who}{failed}: {reason}");
        }
        text += names;
        self.fail(&text);
    }

    /// How long each retry of a handler waited at its tier, in the order of the failures; `None` for
    /// one that has not begun.
    fn waits(&self, handler: &str) -> Vec<Option<Duration>> {
        let entries = self.kit.story.entries();
        let mut waits = Vec::new();
        for entry in &entries {
            let Some(taken) = entry.step().filter(|taken| taken.is_by(handler)) else { continue };
            let Did::Move { aside: Aside::Retry, .. } = &taken.did else { continue };
            let event = entry.record.event::<E>().and_then(Result::ok);
            if !event.is_some_and(|envelope| self.accepts(&envelope.event)) {
                continue;
            }
            let of_copy = |other: &&Arc<Entry>| {
                entry.copy().is_some_and(|copy| Arc::ptr_eq(copy, &other.record))
            };
            let is_begun = |taken: &Stepped| matches!(taken.did, Did::Begin);
            // A tier counts from the broker's append, of which everybody else hears a moment later.
            let appended = entry.copy().and_then(|copy| self.kit.story.appended(copy));
            let from = appended.unwrap_or(entry.at);
            let begun =
                entries.iter().filter(of_copy).find(|later| later.step().is_some_and(is_begun));
            waits.push(begun.map(|begun| begun.at.saturating_sub(from)));
        }
        waits
    }

    fn accepts(&self, event: &E) -> bool {
        self.only.iter().all(|is| is(event))
    }

    fn those(&self, mut events: Vec<Envelope<E>>) -> Vec<Envelope<E>> {
        events.retain(|envelope| self.accepts(&envelope.event));
        events
    }

    fn narrowed(&self) -> &'static str {
        if self.only.is_empty() { "" } else { " that match" }
    }

    fn count(&self, what: &str, expected: usize, was: usize) -> String {
        let (name, narrowed) = (E::NAME, self.narrowed());
        format!("expected {expected} {name}{narrowed} to be {what}, but it was {was}\n")
    }

    /// Why records that say they are of this type are none.
    fn unreadable(&self) -> Vec<String> {
        let entries = self.kit.story.entries();
        let stored = entries.iter().filter(|entry| entry.step().is_none());
        stored
            .filter(|entry| entry.record.is_on_main::<E>())
            .filter_map(|entry| entry.record.event::<E>()?.err())
            .collect()
    }

    /// Names the handlers that were called with such events, where this one was not.
    fn names(&self, handler: &str) -> String {
        let entries = self.kit.story.entries();
        let steps = entries.iter().filter_map(|entry| Some((entry, entry.step()?)));
        let of_type = steps.filter(|(entry, _)| entry.record.event::<E>().is_some());
        let mut called: Vec<_> = of_type
            .filter(|(_, taken)| taken.handler.is_some())
            .map(|(_, taken)| taken.who())
            .collect();
        called.sort_unstable();
        called.dedup();
        let (name, known) = (E::NAME, called.join(", "));
        let ours =
            |who: &String| who == handler || who.split_once('/').is_some_and(|(_, n)| n == handler);
        match called.iter().any(ours) {
            true => String::new(),
            false if called.is_empty() => format!(
                "no handler was called with {name}: is a consumer started that handles it?\n"
            ),
            false => {
                format!("no handler of that name was called with {name}; these were: {known}\n")
            }
        }
    }

    #[track_caller]
    fn fail(&self, text: &str) -> ! {
        let left = self.kit.left();
        let mut message = text.to_owned();
        if !left.is_empty() {
            message.push_str("The kit is not settled; what is left:\n");
            left.iter().for_each(|left| {
                let _ = writeln!(message, "  {left}");
            });
        }
        panic!("{message}What happened:\n{}", tell(&self.kit.story.entries()))
    }
}

fn json<E: IntegrationEvent>(event: &E) -> String {
    serde_json::to_string(event).unwrap_or_else(|error| error.to_string())
}
