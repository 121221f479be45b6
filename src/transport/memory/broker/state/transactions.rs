//! What a transactional producer asks.

use tokio::time::Instant;

use super::super::groups::MemberId;
use super::super::transactions::Open;
use super::super::watch::Operation;
use super::{Refusal, State, TransactionOf};
use crate::transport::Offsets;

impl State {
    pub(crate) fn take_over(&mut self, id: &str, producer: u64, now: Instant) -> u64 {
        let (epoch, left) = self.transactions.take_over(id, producer);
        if let Some((producer, open)) = left {
            self.close_transaction(producer, &open, false, now);
        }
        epoch
    }

    pub(crate) fn begin_transaction(
        &mut self,
        of: &TransactionOf,
        now: Instant,
    ) -> Result<(), Refusal> {
        Ok(self.transactions.begin(&of.id, of.epoch, now)?)
    }

    pub(crate) fn add_offsets(
        &mut self,
        of: &TransactionOf,
        group: &str,
        member: MemberId,
        offsets: Offsets,
    ) -> Result<(), Refusal> {
        let open = self.transactions.open(&of.id, of.epoch)?;
        if !self.groups.get(group).is_some_and(|group| group.knows(member)) {
            return Err(Refusal::UnknownMember);
        }
        open.offsets.push((group.to_owned(), member, offsets));
        Ok(())
    }

    pub(crate) fn end_transaction(
        &mut self,
        of: &TransactionOf,
        committed: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let open = self.transactions.end(&of.id, of.epoch)?;
        self.close_transaction(of.producer, &open, committed, now);
        Ok(())
    }

    pub(super) fn close_transaction(
        &mut self,
        producer: u64,
        open: &Open,
        committed: bool,
        now: Instant,
    ) {
        let time = self.millis(now);
        for tp in &open.partitions {
            let ended = self.log(tp).map(|log| log.end_transaction(producer, committed, time));
            self.note(|| Operation::Ended {
                partition: tp.clone(),
                committed: ended.unwrap_or_default(),
            });
        }
        if committed {
            for (group, member, offsets) in &open.offsets {
                self.group(group).commit(offsets, now);
                self.note(|| Operation::Committed {
                    group: group.clone(),
                    member: *member,
                    offsets: offsets.clone(),
                    refused: None,
                });
            }
        }
        self.changed = true;
    }
}
