//! Each check on journals that were written by hand: what it finds, and what it does not mind.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::contract::{Contract, Duties};
use super::super::journal::{Did, EPOCH, Entry, Place, Promise, Stepped, What};
use super::{Class, all};
use crate::clock::millis;
use crate::consumer::Order;
use crate::event::{Headers, TopicName, header};
use crate::retry::RetryPolicy;
use crate::transport::memory::Operation;
use crate::transport::{Aside, Received, Timestamp, TopicPartition};

const MAIN: TopicName = TopicName::from_static("orders");
const ANSWERS: TopicName = TopicName::from_static("parcels");
const TIER: TopicName = TopicName::from_static("orders.retry.1s");
const DEAD: TopicName = TopicName::from_static("orders.dlq");
const GROUP: &str = "billing";
/// The consumer's client, its member, and the client of who publishes.
const CONSUMER: u64 = 1;
const MEMBER: u64 = 10;
const SHOP: u64 = 2;

fn contract() -> Contract {
    let retry = RetryPolicy::tiers([Duration::from_secs(1)]);
    let duties = Duties::new(GROUP, Order::ByKey, retry);
    let mut contract = Contract::default();
    contract.add(duties.handles(MAIN, "placed", "charge").unwrap());
    contract
}

fn place(topic: TopicName, offset: i64) -> Place {
    Place { partition: TopicPartition { topic, partition: 0 }, offset }
}

/// A journal that is being written, a second for each entry.
struct Script(Vec<Entry>);

impl Script {
    /// One member has everything.
    fn new() -> Self {
        let (process, group) = ("billing-0".to_owned(), Some(GROUP.to_owned()));
        let partitions = [MAIN, TIER].map(|topic| place(topic, 0).partition).to_vec();
        Self(Vec::new())
            .then(What::Started { process, group, client: CONSUMER, skew: 0 })
            .then(What::Broker(Operation::Joined {
                group: GROUP.to_owned(),
                member: MEMBER,
                client: CONSUMER,
            }))
            .then(What::Broker(Operation::Assigned {
                group: GROUP.to_owned(),
                member: MEMBER,
                partitions,
            }))
    }

    fn then(mut self, what: What) -> Self {
        let at = Duration::from_secs(self.0.len() as u64);
        self.0.push(Entry { at, what });
        self
    }

    fn stored(self, client: u64, place: Place, payload: &str, headers: &[(&str, &str)]) -> Self {
        let appended = EPOCH + millis(Duration::from_secs(self.0.len() as u64));
        let mut said = Headers::default();
        said.push(header::TYPE, "placed");
        said.push(header::ID, payload);
        headers.iter().for_each(|(name, value)| said.push(name, value));
        let record = Received {
            topic: place.partition.topic,
            partition: place.partition.partition,
            offset: place.offset,
            timestamp: Some(Timestamp::Appended(appended)),
            key: Some(Bytes::from_static(b"k")),
            payload: Some(Bytes::copy_from_slice(payload.as_bytes())),
            headers: said,
        };
        let (record, doubled, open) = (Arc::new(record), false, false);
        self.then(What::Broker(Operation::Appended { client, record, doubled, open }))
    }

    /// The shop publishes to the main topic.
    fn placed(self, offset: i64) -> Self {
        self.stored(SHOP, place(MAIN, offset), &format!("order {offset}"), &[])
    }

    /// A copy of the first record, after its first failure.
    fn copied(self, to: Place, attempt: &str) -> Self {
        let headers = [
            (header::RETRY_GROUP, GROUP),
            (header::RETRY_HANDLER, "charge"),
            (header::RETRY_ATTEMPT, attempt),
            (header::ORIGIN_TOPIC, "orders"),
            (header::ORIGIN_PARTITION, "0"),
            (header::ORIGIN_OFFSET, "0"),
        ];
        self.stored(CONSUMER, to, "order 0", &headers)
    }

    fn step(self, place: Place, handler: Option<&str>, attempt: u32, did: Did) -> Self {
        let handler = handler.map(str::to_owned);
        let step = Stepped { group: GROUP.to_owned(), handler, event: None, attempt, did };
        self.then(What::Step { client: CONSUMER, place, step })
    }

    fn begins(self, place: Place, attempt: u32) -> Self {
        self.step(place, Some("charge"), attempt, Did::Begin)
    }

    fn done(self, place: Place) -> Self {
        self.step(place, Some("charge"), 1, Did::Finish)
    }

    fn handled(self, offset: i64) -> Self {
        self.begins(place(MAIN, offset), 1).done(place(MAIN, offset))
    }

    fn fails(self, place: Place, attempt: u32) -> Self {
        let did = Did::Fail { kind: "transient".into(), error: "no".into() };
        self.begins(place.clone(), attempt).step(place, Some("charge"), attempt, did)
    }

    fn moved(self, place: Place, to: TopicName) -> Self {
        self.step(place, None, 0, Did::Move { to, aside: Aside::Retry })
    }

    fn commits(self, place: Place) -> Self {
        self.commit(place, None)
    }

    fn refused(self, place: Place) -> Self {
        self.commit(place, Some("no".into()))
    }

    fn commit(self, place: Place, refused: Option<String>) -> Self {
        let (group, offsets) = (GROUP.to_owned(), vec![(place.partition, place.offset)]);
        let member = MEMBER;
        self.then(What::Broker(Operation::Committed { group, member, offsets, refused }))
    }

    fn thrown_out(self) -> Self {
        let (group, member) = (GROUP.to_owned(), MEMBER);
        self.then(What::Broker(Operation::Left { group, member, thrown_out: true }))
    }

    fn crashed(self) -> Self {
        self.then(What::Crashed { client: CONSUMER })
    }

    fn follows(self, events: &[&str]) -> Self {
        let events = events.iter().map(|payload| answer(payload)).collect();
        let (group, handler) = (GROUP.to_owned(), "charge".to_owned());
        self.then(What::Follows { group, place: place(MAIN, 0), handler, events })
    }

    fn answers(self, offset: i64, payload: &str) -> Self {
        self.stored(CONSUMER, place(ANSWERS, offset), payload, &[])
    }

    fn found(&self) -> Vec<Class> {
        let found = all(&self.0, &contract(), Vec::new(), Vec::new());
        found.into_iter().map(|violation| violation.class).collect()
    }
}

fn answer(payload: &str) -> Promise {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    Promise { topic: ANSWERS, key: Some(Bytes::from_static(b"k")), payload }
}

fn first() -> Place {
    place(MAIN, 0)
}

#[test]
fn a_run_that_goes_well_and_one_over_a_tier_break_nothing() {
    let plain = Script::new().placed(0).handled(0).commits(place(MAIN, 1));
    assert_eq!(plain.found(), []);
    let tier = Script::new().placed(0).fails(first(), 1).copied(place(TIER, 0), "1");
    let tier = tier.moved(first(), TIER).commits(place(MAIN, 1));
    let tier = tier.begins(place(TIER, 0), 2).done(place(TIER, 0)).commits(place(TIER, 1));
    assert_eq!(tier.found(), []);
}

#[test]
fn a_handler_that_never_finished_is_an_effect_lost_unless_a_dead_letter_keeps_it() {
    assert_eq!(Script::new().placed(0).found(), [Class::EffectLost]);
    let dead = Script::new().placed(0).fails(first(), 1).copied(place(DEAD, 0), "1");
    assert_eq!(dead.moved(first(), DEAD).found(), []);
}

#[test]
fn a_run_that_nothing_explains_is_an_effect_doubled_and_one_after_a_crash_is_not() {
    let twice = Script::new().placed(0).handled(0).handled(0);
    assert_eq!(twice.found(), [Class::EffectDoubled]);
    assert_eq!(Script::new().placed(0).handled(0).crashed().handled(0).found(), []);
}

#[test]
fn a_run_of_what_was_committed_is_an_effect_doubled_after_whatever_happens() {
    let committed = || Script::new().placed(0).placed(1).handled(0).commits(place(MAIN, 1));
    let refused = |script: Script| script.refused(place(MAIN, 2));
    for happens in [Script::crashed, Script::thrown_out, refused] {
        let uncommitted = happens(committed().handled(1)).handled(1);
        assert_eq!(uncommitted.found(), []);
        let again = happens(committed().handled(1)).handled(0);
        assert_eq!(again.found(), [Class::EffectDoubled]);
    }
}

#[test]
fn more_copies_of_a_failed_record_than_anything_explains_are_effects_doubled() {
    let twice = Script::new().placed(0).fails(first(), 1);
    let twice = twice.copied(place(TIER, 0), "1").copied(place(TIER, 1), "1").moved(first(), TIER);
    let twice = twice.begins(place(TIER, 0), 2).done(place(TIER, 0));
    assert_eq!(twice.found(), [Class::EffectDoubled]);
}

#[test]
fn an_event_that_begins_before_the_earlier_one_of_its_key_is_done_is_out_of_order() {
    let script = Script::new().placed(0).placed(1).begins(place(MAIN, 1), 1).handled(0);
    assert_eq!(script.done(place(MAIN, 1)).found(), [Class::OutOfOrder]);
    assert_eq!(Script::new().placed(0).placed(1).handled(0).handled(1).found(), []);
}

#[test]
fn an_event_of_a_tier_that_runs_before_its_time_is_early() {
    let mut script = Script::new().placed(0).fails(first(), 1).copied(place(TIER, 0), "1");
    script = script.moved(first(), TIER).begins(place(TIER, 0), 2).done(place(TIER, 0));
    assert_eq!(script.found(), []);
    let (stored, begun) = (script.0.len() - 4, script.0.len() - 2);
    let due = script.0[stored].at + Duration::from_secs(1);
    script.0[begun].at = due - Duration::from_millis(1);
    assert_eq!(script.found(), [Class::Early]);
}

#[test]
fn a_commit_past_what_is_not_done_or_not_acknowledged_is_found() {
    let script = Script::new().placed(0).commits(place(MAIN, 1)).handled(0);
    assert_eq!(script.found(), [Class::CommittedUnfinished]);
    let queued = Script::new().placed(0).fails(first(), 1).commits(place(MAIN, 1));
    let queued = queued.copied(place(TIER, 0), "1").moved(first(), TIER);
    let queued = queued.begins(place(TIER, 0), 2).done(place(TIER, 0));
    assert_eq!(queued.found(), [Class::CommittedUnfinished]);
}

#[test]
fn a_commit_that_puts_its_group_back_is_found_and_one_that_is_refused_or_repeats_is_not() {
    let done = || Script::new().placed(0).placed(1).handled(0).handled(1).commits(place(MAIN, 2));
    assert_eq!(done().commits(place(MAIN, 2)).found(), []);
    assert_eq!(done().refused(place(MAIN, 1)).found(), []);
    let back = done().commits(place(MAIN, 1));
    assert_eq!(back.found(), [Class::CommitMovedBack]);
    assert_eq!(back.commits(place(MAIN, 2)).found(), [Class::CommitMovedBack]);
}

#[test]
fn an_attempt_that_does_not_follow_the_last_one_is_found() {
    let script = Script::new().placed(0).begins(first(), 2).done(first());
    assert_eq!(script.found(), [Class::Attempts]);
}

#[test]
fn what_was_promised_has_to_be_there_once_for_each_try_and_in_order() {
    let promised = |events: &[&str], tries| What::Promised {
        events: events.iter().map(|payload| answer(payload)).collect(),
        tries,
    };
    let publish = |events: &[&str]| {
        events.iter().zip(0..).fold(Script::new(), |script, (payload, offset)| {
            script.stored(SHOP, place(ANSWERS, offset), payload, &[])
        })
    };
    assert_eq!(publish(&["a", "b"]).then(promised(&["a", "b"], 1)).found(), []);
    assert_eq!(publish(&["a"]).then(promised(&["a", "b"], 1)).found(), [Class::Unpublished]);
    assert_eq!(publish(&["a", "a"]).then(promised(&["a"], 1)).found(), [Class::Unpublished]);
    assert_eq!(publish(&["a", "a"]).then(promised(&["a"], 2)).found(), []);
    assert_eq!(publish(&["b", "a"]).then(promised(&["a", "b"], 1)).found(), [Class::Unpublished]);
    let forbidden = publish(&["a"]).then(What::Forbidden(vec![answer("a")]));
    assert_eq!(forbidden.found(), [Class::Unpublished]);
}

#[test]
fn what_a_handler_answers_is_there_before_it_is_done_in_order_and_no_more_often_than_it_answered() {
    let begun = || Script::new().placed(0).begins(first(), 1);
    let well = begun().follows(&["a", "b"]).answers(0, "a").answers(1, "b").done(first());
    assert_eq!(well.found(), []);
    let late = begun().follows(&["a"]).done(first()).answers(0, "a");
    assert_eq!(late.found(), [Class::Unpublished]);
    let turned = begun().follows(&["a", "b"]).answers(0, "b").answers(1, "a").done(first());
    assert_eq!(turned.found(), [Class::Unpublished]);
    let twice = begun().follows(&["a"]).answers(0, "a").answers(1, "a").done(first());
    assert_eq!(twice.found(), [Class::Unpublished]);
    // It failed, and somebody published what it answered all the same.
    let failed = Script::new().placed(0).fails(first(), 1).answers(0, "a");
    let failed = failed.begins(first(), 1).follows(&["a"]).answers(1, "a").done(first());
    assert_eq!(failed.found(), [Class::Unpublished, Class::Unpublished]);
    // A run that was cut off after the first of them, and the next one.
    let again = begun().follows(&["a", "b"]).answers(0, "a").crashed().begins(first(), 1);
    let again = again.follows(&["a", "b"]).answers(1, "a").answers(2, "b").done(first());
    assert_eq!(again.found(), []);
}

#[test]
fn what_could_not_be_published_may_be_stored_once_more_for_each_time_that_it_could_not() {
    let outage = || Did::Fail { kind: "outage".into(), error: "no answer".into() };
    let begun = || Script::new().placed(0).begins(first(), 1);
    let kept = || begun().follows(&["a"]).step(first(), Some("charge"), 1, outage());
    let twice = || kept().answers(0, "a").answers(1, "a");
    assert_eq!(twice().done(first()).found(), []);
    assert_eq!(twice().answers(2, "a").done(first()).found(), [Class::Unpublished]);
    // An outage of the handler itself is no publishing.
    let down = begun().step(first(), Some("charge"), 1, outage()).begins(first(), 1);
    let down = down.follows(&["a"]).answers(0, "a").answers(1, "a").done(first());
    assert_eq!(down.found(), [Class::Unpublished]);
}

#[test]
fn a_panic_and_what_is_left_in_the_end_are_found() {
    let panicked = Script::new().then(What::Panicked { message: "a bug".into() });
    assert_eq!(panicked.found(), [Class::Panicked]);
    let left = |stuck: &[&str], unclean: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let found = all(&Script::new().0, &contract(), texts(stuck), texts(unclean));
        found.into_iter().map(|violation| violation.class).collect::<Vec<_>>()
    };
    assert_eq!(left(&["1 record waits"], &[]), [Class::Stuck]);
    assert_eq!(left(&[], &["process 0"]), [Class::Stuck]);
}
