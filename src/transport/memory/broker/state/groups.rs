//! What members and their coordinator ask: join, live, commit, read.

use std::time::Duration;
use tokio::time::Instant;

use super::super::super::config::Isolation;
use super::super::groups::{Group, MemberId, Moves};
use super::super::log::Fetched;
use super::super::watch::Operation;
use super::{Lag, Refusal, State, count_in};
use crate::event::TopicName;
use crate::transport::{Offsets, Position, Subscription, TopicPartition};

impl State {
    pub(super) fn group(&mut self, group: &str) -> &mut Group {
        self.groups.entry(group.to_owned()).or_default()
    }

    /// Groups are not answered while their coordinator moves.
    pub(super) fn coordinated(&self, now: Instant) -> Result<(), Refusal> {
        match self.faults.coordinator(now) {
            Some(_) => Err(Refusal::TryAgain("the group coordinator is moving")),
            None => Ok(()),
        }
    }

    pub(super) fn balance(&mut self) {
        let Self { groups, topics, .. } = self;
        for group in groups.values_mut() {
            group.balance(&|topic: &TopicName| count_in(topics, topic));
        }
        self.changed = true;
    }

    /// A source is going to join; answers what it is called.
    pub(crate) fn expect(&mut self, subscription: &Subscription) -> u64 {
        let source = self.new_id();
        let Subscription { group, topics, followers, .. } = subscription;
        self.group(group).expect(source, topics, followers);
        source
    }

    pub(crate) fn join(
        &mut self,
        client: u64,
        subscription: &Subscription,
        session: Duration,
        now: Instant,
    ) -> Result<MemberId, Refusal> {
        self.coordinated(now)?;
        let id = self.new_id();
        let Subscription { group, topics, followers, .. } = subscription;
        self.group(group).join(id, topics, followers, session, now);
        self.note(|| Operation::Joined { group: group.clone(), member: id, client });
        self.balance();
        Ok(id)
    }

    /// A source has ended in order; its member, if it has one, leaves.
    pub(crate) fn leave_group(
        &mut self,
        group: &str,
        source: u64,
        member: Option<MemberId>,
        now: Instant,
    ) {
        let left = self.group(group);
        left.miss_no_more(source);
        if let Some(member) = member {
            left.leave(member, now);
            self.note_left(group, member, false);
        }
        self.balance();
    }

    /// Counts what may have moved partitions of a group.
    pub(crate) fn moved(&self, group: &str) -> u64 {
        self.groups.get(group).map_or(0, Group::moved)
    }

    /// Says that a member lives; answers what it is to give up and to take: nothing any more, once it
    /// is about to leave.
    pub(crate) fn heartbeat(
        &mut self,
        group: &str,
        member: MemberId,
        now: Instant,
    ) -> Result<Moves, Refusal> {
        self.lives(group, member, now)?;
        let Self { groups, topics, .. } = self;
        let group_state = groups.get_mut(group).ok_or(Refusal::UnknownMember)?;
        let moves = group_state.moves(member, &|topic: &TopicName| count_in(topics, topic));
        if !moves.assign.is_empty() {
            self.note(|| Operation::Assigned {
                group: group.to_owned(),
                member,
                partitions: moves.assign.clone(),
            });
        }
        Ok(moves)
    }

    /// Says that a member lives, and takes nothing.
    pub(crate) fn lives(
        &mut self,
        group: &str,
        member: MemberId,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.coordinated(now)?;
        let group = self.groups.get_mut(group).ok_or(Refusal::UnknownMember)?;
        group.heartbeat(member, now).map_err(|_| Refusal::UnknownMember)
    }

    pub(crate) fn release(&mut self, group: &str, member: MemberId, gone: &[TopicPartition]) {
        self.group(group).release(member, gone);
        self.note(|| Operation::Released {
            group: group.to_owned(),
            member,
            partitions: gone.to_vec(),
        });
        self.balance();
    }

    pub(crate) fn commit(
        &mut self,
        group: &str,
        member: MemberId,
        offsets: &Offsets,
        now: Instant,
    ) -> Result<(), Refusal> {
        let answer = self.try_commit(group, member, offsets, now);
        self.note(|| Operation::Committed {
            group: group.to_owned(),
            member,
            offsets: offsets.clone(),
            refused: answer.as_ref().err().map(ToString::to_string),
        });
        answer
    }

    pub(super) fn try_commit(
        &mut self,
        group: &str,
        member: MemberId,
        offsets: &Offsets,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.coordinated(now)?;
        if self.faults.commit_is_refused() {
            return Err(Refusal::TryAgain("the group is rebalancing"));
        }
        let group = self.group(group);
        if !group.knows(member) {
            return Err(Refusal::UnknownMember);
        }
        group.commit(offsets, now);
        self.changed = true;
        Ok(())
    }

    pub(crate) fn committed(&mut self, group: &str, tp: &TopicPartition) -> Option<i64> {
        self.groups.get(group)?.committed(tp)
    }

    /// The groups that are there, with what they do.
    pub(crate) fn listed_groups(&self) -> Vec<(String, &'static str)> {
        let there = self.groups.iter().filter(|(_, group)| group.is_there());
        let doing = |group: &Group| if group.members().is_empty() { "Empty" } else { "Stable" };
        there.map(|(name, group)| (name.clone(), doing(group))).collect()
    }

    /// What each member of a group was given; `None` where the group is not there.
    pub(crate) fn given(&self, group: &str) -> Option<Vec<(MemberId, Vec<TopicPartition>)>> {
        self.groups.get(group).filter(|group| group.is_there()).map(Group::given)
    }

    /// Every offset that a group has committed.
    pub(crate) fn all_committed(&self, group: &str) -> Offsets {
        self.groups.get(group).map_or_else(Vec::new, Group::all_committed)
    }

    /// The offset of a place; `None` where there is no such partition.
    pub(crate) fn offset_of(&mut self, tp: &TopicPartition, position: Position) -> Option<i64> {
        let log = self.log(tp)?;
        Some(match position {
            Position::Earliest => log.start(),
            Position::Latest => log.end(),
            Position::Offset(offset) => offset.max(log.start()).min(log.end()),
            Position::Time(time) => log.since(time),
        })
    }

    /// Notes where a group begins a partition, for what it has to read yet.
    pub(crate) fn begin(&mut self, group: &str, tp: &TopicPartition, offset: i64) {
        self.group(group).begin(tp.clone(), offset);
    }

    /// First and next offset of a partition.
    pub(crate) fn bounds(&mut self, tp: &TopicPartition) -> (i64, i64) {
        self.log(tp).map_or((0, 0), |log| (log.start(), log.end()))
    }

    pub(crate) fn fetch(
        &mut self,
        tp: &TopicPartition,
        from: i64,
        most: usize,
        isolation: Isolation,
    ) -> Fetched {
        let nothing = Fetched::Records(Vec::new(), from);
        self.log(tp).map_or(nothing, |log| log.fetch(from, most, isolation))
    }

    pub(crate) fn lag(&mut self, isolation: Isolation) -> Vec<Lag> {
        let Self { groups, topics, .. } = self;
        let mut lags = Vec::new();
        for (name, group) in groups {
            for (partition, from) in group.places(&|topic: &TopicName| count_in(topics, topic)) {
                let index = usize::try_from(partition.partition).unwrap_or_default();
                let log = topics.get(&partition.topic).and_then(|topic| topic.logs.get(index));
                let records = log.map_or(0, |log| log.unread(from, isolation));
                if records > 0 {
                    let (group, reader) = (name.clone(), group.reader(&partition));
                    lags.push(Lag { group, partition, from, records, reader });
                }
            }
        }
        lags
    }

    pub(crate) fn pause(&mut self, group: &str, tp: &TopicPartition, paused: bool) {
        self.group(group).pause(tp.clone(), paused);
        self.changed = true;
    }
}
