//! The rule that keeps a key in order, whatever becomes of its rows.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::event::{EventId, Headers, TopicName};
use crate::transport::Record;

fn row(number: RowId, key: Option<u8>) -> OutboxRow {
    let record = Record {
        topic: TopicName::from_static("t"),
        partition: None,
        key: key.map(|key| Bytes::copy_from_slice(&[key])),
        payload: None,
        headers: Headers::default(),
        timestamp: None,
    };
    let shard = Shard::numbered(i16::from(key.unwrap_or(0)) % 4).unwrap();
    OutboxRow { row: number, shard, id: EventId::new(), record: Box::new(record) }
}

fn numbers(rows: &[LaneRow]) -> Vec<RowId> {
    rows.iter().map(|row| row.row).collect()
}

#[test]
fn of_a_key_one_row_is_on_its_way_and_rows_without_a_key_wait_for_nobody() {
    let mut lanes = Lanes::default();
    for (number, key) in [(1, Some(7)), (2, Some(7)), (3, Some(8)), (4, None), (5, None)] {
        lanes.admit(row(number, key));
    }
    let sent = lanes.take(10);
    assert_eq!(numbers(&sent), [1, 3, 4, 5]);
    assert!(lanes.take(10).is_empty());
    lanes.acknowledged(&sent[0]);
    assert_eq!(numbers(&lanes.take(10)), [2]);
    let mut known = Vec::new();
    lanes.known(&mut known);
    known.sort_unstable();
    assert_eq!((known, lanes.len()), (vec![2, 3, 4, 5], 4));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_sent_again_keeps_those_behind_it_back_and_no_others() {
    let mut lanes = Lanes::default();
    for (number, key) in [(1, 7), (2, 7), (3, 8)] {
        lanes.admit(row(number, Some(key)));
    }
    let mut sent = lanes.take(10);
    let (other, first) = (sent.pop().unwrap(), sent.pop().unwrap());
    assert_eq!(lanes.failed(&first), 1);
    let until = Instant::now() + std::time::Duration::from_secs(1);
    lanes.back(first, until);
    lanes.acknowledged(&other);
    lanes.retry(Instant::now());
    assert_eq!((lanes.ready(), lanes.next_retry()), (0, Some(until)));
    lanes.retry(until);
    let again = lanes.take(10);
    assert_eq!(numbers(&again), [1]);
    assert_eq!(lanes.failed(&again[0]), 2);
    lanes.acknowledged(&again[0]);
    let next = lanes.take(10);
    assert_eq!((numbers(&next), lanes.failed(&next[0])), (vec![2], 1));
}

#[test]
fn what_lies_behind_a_parked_row_is_parked_too_until_its_key_is_put_back() {
    let mut lanes = Lanes::default();
    for (number, key) in [(1, 7), (2, 7)] {
        lanes.admit(row(number, Some(key)));
    }
    let first = lanes.take(1).remove(0);
    lanes.fail(first, "no".into());
    let park = lanes.next_to_park().unwrap();
    assert_eq!((park.failed.as_ref().unwrap().0, &*park.behind), (1, &[2][..]));
    lanes.admit(row(3, Some(7)));
    lanes.was_parked(&park);
    let later = lanes.next_to_park().unwrap();
    assert_eq!((later.failed.is_none(), &*later.behind), (true, &[3][..]));
    lanes.was_parked(&later);
    assert_eq!(lanes.len(), 0);
    lanes.admit(row(4, Some(7)));
    assert_eq!((lanes.ready(), lanes.next_to_park().unwrap().behind), (0, vec![4]));
    lanes.set_parked(Vec::new());
    assert_eq!(lanes.len(), 0, "it is read again, behind what was put back");
    lanes.admit(row(1, Some(7)));
    lanes.admit(row(4, Some(7)));
    assert_eq!(numbers(&lanes.take(10)), [1]);
}

#[test]
fn what_is_forgotten_of_a_shard_is_not_sent_and_what_is_on_its_way_still_holds_its_key() {
    let mut lanes = Lanes::default();
    for (number, key) in [(1, 4), (2, 4), (3, 5)] {
        lanes.admit(row(number, Some(key)));
    }
    let sent = lanes.take(1);
    lanes.forget(|shard| shard.number() == 0);
    assert_eq!((lanes.len(), lanes.ready()), (2, 1));
    // The shard came back, and what was forgotten is read again.
    lanes.admit(row(2, Some(4)));
    assert_eq!(numbers(&lanes.take(10)), [3], "the first of its key is not answered for yet");
    lanes.acknowledged(&sent[0]);
    assert_eq!(numbers(&lanes.take(10)), [2]);
}

proptest! {
    /// Whatever is acknowledged, fails or is forgotten: of a key rows go in their order, one at a time.
    #[test]
    fn no_course_of_events_reorders_a_key(steps in proptest::collection::vec((0_u8..6, 0_u8..5), 1..200)) {
        let mut lanes = Lanes::default();
        let (mut number, mut sent, mut done) = (0, Vec::<LaneRow>::new(), HashMap::<u8, RowId>::new());
        let now = Instant::now();
        for (step, key) in steps {
            match step {
                0 | 1 => {
                    number += 1;
                    lanes.admit(row(number, Some(key)));
                }
                2 => sent.extend(lanes.take(1 + usize::from(key))),
                3 if !sent.is_empty() => {
                    let row = sent.remove(usize::from(key) % sent.len());
                    lanes.acknowledged(&row);
                    let last = done.insert(row.record.key.as_ref().unwrap()[0], row.row);
                    prop_assert!(last.is_none_or(|last| last < row.row));
                }
                4 if !sent.is_empty() => {
                    let row = sent.remove(usize::from(key) % sent.len());
                    lanes.back(row, now);
                }
                _ => lanes.retry(now),
            }
            let mut keys: Vec<_> = sent.iter().map(|row| row.record.key.clone()).collect();
            keys.sort();
            keys.dedup();
            prop_assert_eq!(keys.len(), sent.len(), "one of each key is on its way");
            let mut known = Vec::new();
            lanes.known(&mut known);
            prop_assert_eq!(known.len(), lanes.len());
        }
    }
}
