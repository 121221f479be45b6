//! What can be wrong about a consumer, and how it is found before it is built.

use std::time::Duration;

use super::builder::ConsumerBuilder;
use super::handler::Registered;
use crate::error::debug_as_told;
use crate::event::TopicName;
use crate::retry::RetryPolicy;
use crate::topic::InvalidPlan;
use crate::transport::ConsumerDefaults;

debug_as_told!(BuildError);

/// Why a consumer cannot be built.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two handlers of one event have the same name: a retried record could not tell them apart.
    #[error(
        "two handlers of event {event:?} are named {handler:?}; give one another name with `handle_named`"
    )]
    HandlerTwice {
        /// The event.
        event: &'static str,
        /// The name.
        handler: String,
    },
    /// One of the two is wrong.
    #[error("event {event:?} of {topic} is both handled and ignored; remove one of the two")]
    HandledAndIgnored {
        /// The event.
        event: &'static str,
        /// Where it lies.
        topic: TopicName,
    },
    /// Whatever lies on a topic is for one kind of handler.
    #[error(
        "handler {handler:?} takes whatever lies on {topic}, as {reads}, and {event:?} is handled or ignored \
         there too; read the event where the handler is, or have it in a consumer of its own group"
    )]
    NotAlone {
        /// The handler.
        handler: String,
        /// What it reads.
        reads: &'static str,
        /// The topic.
        topic: TopicName,
        /// The event.
        event: &'static str,
    },
    /// A closure has no name that stays the same over releases.
    #[error(
        "a closure that handles {event:?} has no name for retried records; use `handle_named(\"…\", closure)`"
    )]
    NoName {
        /// The event.
        event: &'static str,
    },
    /// A handler asks for state that was not given.
    #[error("handler {handler:?} asks for `State<{state}>`; give it with `.state(…)`")]
    NoState {
        /// The handler.
        handler: String,
        /// The type.
        state: &'static str,
    },
    /// A handler asks for a transaction that the consumer cannot open.
    #[error(
        "handler {handler:?} asks for `Tx<{store}>` and {inbox}; give one with `.inbox(Inbox::new(outbox))`, whose outbox is on a `{store}`"
    )]
    NoInbox {
        /// The handler.
        handler: String,
        /// The store.
        store: &'static str,
        /// What the consumer has instead.
        inbox: String,
    },
    /// A handler runs in one transaction.
    #[error(
        "handler {handler:?} asks for `Tx` {times} times; it runs in one transaction, so ask once"
    )]
    SeveralTransactions {
        /// The handler.
        handler: String,
        /// How often it asks.
        times: usize,
    },
    /// Nothing would run in a transaction.
    #[error(
        "group {0:?} has an inbox and no handler that asks for its `Tx<{1}>`; ask for it as an argument, or remove the inbox"
    )]
    InboxUnused(String, &'static str),
    /// An event could be delivered again after it was forgotten.
    #[error(
        "the inbox forgets an event after {window:?}, but its retries may take {span:?}: {tiers} tiers \
         with their delays and 1 s each, and at each of {stops} stops {attempts} attempts of three times \
         the handler timeout ({timeout:?}) with the waits between them; set a `.window(…)` of at least \
         that, or shorten the retries or `.handler_timeout(…)`"
    )]
    ShortWindow {
        /// How long the inbox remembers an event.
        window: Duration,
        /// How long its retries may take.
        span: Duration,
        /// How many tiers there are.
        tiers: usize,
        /// How often it is tried in place: before the first tier and at each.
        stops: u32,
        /// How many attempts there are each time.
        attempts: u32,
        /// How long one may take.
        timeout: Duration,
    },
    /// State of one type was given twice.
    #[error("state of type `{0}` was given twice; wrap one of them in a type of its own")]
    StateTwice(&'static str),
    /// There is nothing to do.
    #[error("group {0:?} has no handler; add one with `.handle(…)`")]
    NoHandler(String),
    /// A worker would read what it writes, without end; or what it writes would be taken for a retry or a dead
    /// letter.
    #[error(
        "worker {worker:?} reads {input} and writes to {output}, which is {what}; have it write to another topic"
    )]
    WritesWhereItReads {
        /// The worker.
        worker: String,
        /// What it reads.
        input: TopicName,
        /// What it writes to.
        output: TopicName,
        /// What that topic is to it.
        what: &'static str,
    },
    /// A setting that cannot work.
    #[error("{0}")]
    Setting(String),
    /// Retry tiers or topic names that cannot work.
    #[error("the topics of {topic} cannot be planned")]
    Topics {
        /// The main topic.
        topic: TopicName,
        /// Why.
        source: InvalidPlan,
    },
}

impl ConsumerBuilder {
    pub(super) fn check(&self, group: &str, defaults: &ConsumerDefaults) -> Result<(), BuildError> {
        if self.handlers.is_empty() {
            return Err(BuildError::NoHandler(group.into()));
        }
        let setting = |problem: &str| Err(BuildError::Setting(problem.into()));
        if group.trim().is_empty() {
            return setting("a consumer group must have a name: in code, or in the configuration");
        }
        if self.members > 1 && defaults.static_member {
            return setting("a static member id is one member's; use it with `members(1)` only");
        }
        if self.concurrency == 0 || self.members == 0 {
            return setting("concurrency and members start at 1");
        }
        if self.handler_timeout.is_zero() || self.offset_refresh.is_zero() {
            return setting("handler timeout and offset refresh must not be zero");
        }
        for handler in &self.handlers {
            if let Some(state) = handler.needs.missing(&self.states) {
                return Err(BuildError::NoState { handler: handler.name.to_string(), state });
            }
            self.check_transactions(handler)?;
        }
        match &self.inbox {
            Some(inbox) if !self.handlers.iter().any(|handler| handler.transactional) => {
                Err(BuildError::InboxUnused(group.into(), inbox.store().1))
            }
            _ => Ok(()),
        }
    }

    fn check_transactions(&self, handler: &Registered) -> Result<(), BuildError> {
        let name = || handler.name.to_string();
        let wanted = handler.needs.transactions();
        let inbox = self.inbox.as_ref().map(|inbox| inbox.store());
        if let Some((_, store)) =
            wanted.iter().find(|(id, _)| inbox.is_none_or(|(has, _)| has != *id))
        {
            let inbox = match inbox {
                Some((_, other)) => format!("the consumer's inbox is on a `{other}`"),
                None => "the consumer has no inbox".into(),
            };
            return Err(BuildError::NoInbox { handler: name(), store, inbox });
        }
        match wanted.len() {
            0 | 1 => Ok(()),
            times => Err(BuildError::SeveralTransactions { handler: name(), times }),
        }
    }

    /// Whether the inbox remembers an event for as long as a copy of it may still be on its way.
    pub(super) fn check_window(&self, retry: &RetryPolicy) -> Result<(), BuildError> {
        let Some(inbox) = &self.inbox else { return Ok(()) };
        let (window, timeout) = (inbox.window(), self.handler_timeout);
        let span = longest_span(retry, timeout);
        if window >= span {
            return Ok(());
        }
        let tiers = retry.tiers.len();
        let (stops, attempts) = (stops(retry), attempts(retry));
        Err(BuildError::ShortWindow { window, span, tiers, stops, attempts, timeout })
    }
}

/// How late a tier may run an event, hand-overs included.
const LATE: Duration = Duration::from_secs(1);
/// An attempt may take as long as a handler to open its transaction, to run, and to commit.
const PARTS: u32 = 3;

fn stops(retry: &RetryPolicy) -> u32 {
    u32::try_from(retry.tiers.len()).unwrap_or(u32::MAX).saturating_add(1)
}

fn attempts(retry: &RetryPolicy) -> u32 {
    retry.immediate.saturating_add(1)
}

/// The longest time between the first delivery of an event and the end of its last attempt, outages
/// aside: `Σ (tier + 1 s) + (tiers + 1) · ((immediate + 1) · 3 · handler timeout + waits in place)`.
fn longest_span(retry: &RetryPolicy, handler_timeout: Duration) -> Duration {
    let attempts = handler_timeout.saturating_mul(PARTS).saturating_mul(attempts(retry));
    let late = LATE.saturating_mul(stops(retry) - 1);
    retry.longest_span().saturating_add(attempts.saturating_mul(stops(retry))).saturating_add(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Backoff;

    #[test]
    fn the_longest_span_has_each_tier_and_each_attempt_at_each_stop() {
        let secs = Duration::from_secs;
        let tiers = RetryPolicy::tiers([5, 60, 600].map(secs));
        for (policy, timeout, span) in [
            // Three parts of one attempt.
            (RetryPolicy::none(), secs(10), secs(30)),
            // Three attempts, and 1 s before each of two.
            (RetryPolicy::none().immediate(2).backoff(Backoff::fixed(secs(1))), secs(10), secs(92)),
            // The tiers, each a second late, and four stops.
            (tiers.clone().immediate(0), secs(10), secs(665 + 3 + 4 * 30)),
            (
                tiers.clone().immediate(1).backoff(Backoff::fixed(secs(2))),
                secs(10),
                secs(665 + 3 + 4 * (60 + 2)),
            ),
            (tiers, Duration::MAX, Duration::MAX),
        ] {
            assert_eq!(longest_span(&policy, timeout), span, "{policy:?}");
        }
    }
}
