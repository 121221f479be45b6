//! Reading without a group: one task, which ends with its reader.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use super::broker::{Fetched, Shared};
use super::config::{Isolation, MemoryConfig};
use crate::transport::{Offsets, ReadEvent, RecordBatch, TopicPartition, TopicReader};

/// Events that may wait for the runtime.
const EVENTS: usize = 16;

pub(super) fn start(
    shared: Arc<Shared>,
    client: u64,
    config: &MemoryConfig,
    from: Offsets,
) -> (TopicReader, AbortHandle) {
    let (events, receiver) = mpsc::channel(EVENTS);
    let (isolation, most) = (config.isolation, config.fetch);
    let task = tokio::spawn(async move {
        let mut places: Vec<_> = from
            .into_iter()
            .map(|(partition, next)| Place { partition, next, ended: false })
            .collect();
        loop {
            let changes = shared.changes();
            let away = shared.update(|state, now| state.unreachable(client, now));
            let found = match away {
                Some(_) => Vec::new(),
                None => fetch(&shared, &mut places, most, isolation),
            };
            let more = !found.is_empty();
            for event in found {
                if events.send(Ok(event)).await.is_err() {
                    return;
                }
            }
            if more {
                continue;
            }
            tokio::select! {
                biased;
                () = events.closed() => return,
                () = async { sleep_until(away.expect("it is away").1).await }, if away.is_some() => {}
                () = changes => {}
            }
        }
    });
    (TopicReader::new(receiver), task.abort_handle())
}

struct Place {
    partition: TopicPartition,
    next: i64,
    /// Whether it was said that its end was reached.
    ended: bool,
}

/// What there is to tell now; the places go on behind it.
fn fetch(
    shared: &Shared,
    places: &mut [Place],
    most: usize,
    isolation: Isolation,
) -> Vec<ReadEvent> {
    let mut found = Vec::new();
    for Place { partition, next, ended } in places {
        match shared.update(|state, _| state.fetch(partition, *next, most, isolation)) {
            Fetched::Records(records, after) => {
                *next = after;
                if !records.is_empty() {
                    *ended = false;
                    let records = records.iter().map(|record| (**record).clone()).collect();
                    let batch = RecordBatch { partition: partition.clone(), records };
                    found.push(ReadEvent::Records(batch));
                } else if !std::mem::replace(ended, true) {
                    found.push(ReadEvent::End(partition.clone()));
                }
            }
            Fetched::OutOfRange(start, end) => *next = (*next).clamp(start, end),
        }
    }
    found
}
