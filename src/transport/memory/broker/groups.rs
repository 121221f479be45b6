//! The coordinator of consumer groups: who reads which partition, and how far each group has read.
//!
//! Rebalancing is cooperative: a partition that is to move is first given up by its owner, and only
//! then assigned; all others go on. Followers' partitions move with their leader's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::Reader;
use crate::event::TopicName;
use crate::transport::{Follower, TopicPartition};

pub(crate) type MemberId = u64;

#[derive(Debug, Default)]
pub(crate) struct Group {
    members: BTreeMap<MemberId, Member>,
    /// Who reads a partition now, followers included.
    owners: BTreeMap<TopicPartition, MemberId>,
    /// Who is to read a leader's partition.
    target: BTreeMap<TopicPartition, MemberId>,
    committed: BTreeMap<TopicPartition, Committed>,
    /// Where partitions without a committed offset were begun.
    begun: BTreeMap<TopicPartition, i64>,
    /// What sources read or are about to read, until they leave: one that died is missed.
    sources: BTreeMap<u64, (Vec<TopicName>, Vec<Follower>)>,
    /// What its members were told not to fetch.
    paused: BTreeSet<TopicPartition>,
    /// Since when it has no member.
    empty: Option<Instant>,
    moved: u64,
}

#[derive(Debug)]
struct Member {
    topics: BTreeSet<TopicName>,
    followers: Vec<Follower>,
    session: Duration,
    heard: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Committed {
    offset: i64,
    at: Instant,
}

/// What a member has to do to get to where the coordinator wants it.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    pub(crate) revoke: Vec<TopicPartition>,
    pub(crate) assign: Vec<TopicPartition>,
}

/// The coordinator does not know the member (any more).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownMember;

/// How many partitions a topic has; 0 where it is not there.
pub(crate) trait Partitions: Fn(&TopicName) -> i32 {}
impl<F: Fn(&TopicName) -> i32> Partitions for F {}

impl Group {
    pub(crate) fn join(
        &mut self,
        id: MemberId,
        topics: &[TopicName],
        followers: &[Follower],
        session: Duration,
        now: Instant,
    ) {
        let member = Member {
            topics: topics.iter().cloned().collect(),
            followers: followers.to_vec(),
            session,
            heard: now,
        };
        self.members.insert(id, member);
        self.empty = None;
    }

    /// A source is going to join.
    pub(crate) fn expect(&mut self, source: u64, topics: &[TopicName], followers: &[Follower]) {
        self.sources.insert(source, (topics.to_vec(), followers.to_vec()));
    }

    /// A source has left in order.
    pub(crate) fn miss_no_more(&mut self, source: u64) {
        self.sources.remove(&source);
    }

    /// Counts what may have moved partitions.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    pub(crate) fn leave(&mut self, id: MemberId, now: Instant) {
        self.moved += 1;
        self.members.remove(&id);
        self.owners.retain(|_, owner| *owner != id);
        self.target.retain(|_, owner| *owner != id);
        if self.members.is_empty() {
            self.empty.get_or_insert(now);
        }
    }

    pub(crate) fn heartbeat(&mut self, id: MemberId, now: Instant) -> Result<(), UnknownMember> {
        self.members.get_mut(&id).ok_or(UnknownMember)?.heard = now;
        Ok(())
    }

    /// Whether anybody is in it, or was and has left offsets.
    pub(crate) fn is_there(&self) -> bool {
        !self.members.is_empty() || !self.committed.is_empty()
    }

    /// What each member was given by the coordinator; followers go along unsaid.
    pub(crate) fn given(&self) -> Vec<(MemberId, Vec<TopicPartition>)> {
        let given = |id: &MemberId| {
            let own = self.target.iter().filter(|(_, owner)| *owner == id);
            (*id, own.map(|(partition, _)| partition.clone()).collect())
        };
        self.members.keys().map(given).collect()
    }

    /// Every offset that was committed.
    pub(crate) fn all_committed(&self) -> Vec<(TopicPartition, i64)> {
        self.committed.iter().map(|(partition, at)| (partition.clone(), at.offset)).collect()
    }

    pub(crate) fn knows(&self, id: MemberId) -> bool {
        self.members.contains_key(&id)
    }

    pub(crate) fn members(&self) -> Vec<MemberId> {
        self.members.keys().copied().collect()
    }

    /// Throws out members that were not heard of for their session time; answers which.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<MemberId> {
        let silent = |member: &Member| now.saturating_duration_since(member.heard) > member.session;
        let gone: Vec<_> =
            self.members.iter().filter(|(_, m)| silent(m)).map(|(id, _)| *id).collect();
        gone.iter().for_each(|id| self.leave(*id, now));
        gone
    }

    /// The broker was away: nobody could be heard meanwhile.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.members.values_mut().for_each(|member| member.heard = now);
    }

    /// Wants the partitions spread evenly, and moves as few of them as that needs.
    pub(crate) fn balance(&mut self, partitions: &impl Partitions) {
        self.moved += 1;
        let topics: BTreeSet<_> = self.members.values().flat_map(|m| m.topics.clone()).collect();
        let all: Vec<_> =
            topics.iter().flat_map(|topic| numbered(topic, partitions(topic))).collect();
        let takes = |id: MemberId, topic: &TopicName| {
            self.members.get(&id).is_some_and(|member| member.topics.contains(topic))
        };
        self.target.retain(|tp, id| takes(*id, &tp.topic) && all.contains(tp));
        let mut load: BTreeMap<MemberId, usize> = self.members.keys().map(|id| (*id, 0)).collect();
        self.target.values().for_each(|id| *load.entry(*id).or_default() += 1);
        for tp in &all {
            if self.target.contains_key(tp) {
                continue;
            }
            let least = load.iter().filter(|(id, _)| takes(**id, &tp.topic));
            let Some(id) = least.min_by_key(|(id, load)| (**load, **id)).map(|(id, _)| *id) else {
                continue;
            };
            self.target.insert(tp.clone(), id);
            *load.entry(id).or_default() += 1;
        }
        // From the fullest to the emptiest while they are more than one apart.
        loop {
            let moved = self.target.iter().find_map(|(tp, from)| {
                let to = load
                    .iter()
                    .filter(|(id, _)| takes(**id, &tp.topic))
                    .min_by_key(|(id, load)| (**load, **id))?;
                (load[from] > to.1 + 1).then(|| (tp.clone(), *from, *to.0))
            });
            let Some((tp, from, to)) = moved else { break };
            self.target.insert(tp, to);
            *load.entry(from).or_default() -= 1;
            *load.entry(to).or_default() += 1;
        }
    }

    /// What a member has to give up, and what it may take; what it takes is its own from now on.
    pub(crate) fn moves(&mut self, id: MemberId, partitions: &impl Partitions) -> Moves {
        let Some(member) = self.members.get(&id) else { return Moves::default() };
        let wanted: Vec<_> = self
            .target
            .iter()
            .filter(|(_, owner)| **owner == id)
            .flat_map(|(leader, _)| bundle(leader, &member.followers, partitions))
            .collect();
        let owned = self.owners.iter().filter(|(_, owner)| **owner == id);
        let revoke = owned.map(|(tp, _)| tp.clone()).filter(|tp| !wanted.contains(tp)).collect();
        let free = |tp: &TopicPartition| !self.owners.contains_key(tp);
        let assign: Vec<_> = wanted.into_iter().filter(free).collect();
        self.owners.extend(assign.iter().map(|tp| (tp.clone(), id)));
        Moves { revoke, assign }
    }

    /// A member has given partitions up.
    pub(crate) fn release(&mut self, id: MemberId, partitions: &[TopicPartition]) {
        for tp in partitions {
            if self.owners.get(tp) == Some(&id) {
                self.owners.remove(tp);
            }
        }
    }

    /// Wants one partition to move: to another member, or away and back where there is only one.
    pub(crate) fn disturb(&mut self, rng: &mut fastrand::Rng) -> bool {
        let leaders: Vec<_> = self.target.keys().cloned().collect();
        let Some(tp) = rng.choice(&leaders).cloned() else { return false };
        self.moved += 1;
        let from = self.target[&tp];
        let others = self
            .members
            .iter()
            .filter(|(id, member)| **id != from && member.topics.contains(&tp.topic))
            .map(|(id, _)| *id)
            .collect::<Vec<_>>();
        match rng.choice(&others) {
            Some(to) => self.target.insert(tp, *to),
            None => self.target.remove(&tp),
        };
        true
    }

    /// Commits offsets; one that is stale for its partition wins all the same, as in Kafka.
    pub(crate) fn commit(&mut self, offsets: &[(TopicPartition, i64)], now: Instant) {
        let committed = |(tp, offset): &(TopicPartition, i64)| {
            (tp.clone(), Committed { offset: *offset, at: now })
        };
        self.committed.extend(offsets.iter().map(committed));
    }

    pub(crate) fn committed(&self, tp: &TopicPartition) -> Option<i64> {
        self.committed.get(tp).map(|committed| committed.offset)
    }

    /// Forgets offsets as a broker does: those of a group without members, and those of topics that
    /// no member subscribes to, once they were not committed for `retention`.
    pub(crate) fn forget(&mut self, retention: Duration, now: Instant) {
        let old = |at: Instant| now.saturating_duration_since(at) > retention;
        let empty = self.empty;
        let subscribed: BTreeSet<_> =
            self.members.values().flat_map(|member| member.topics.iter().cloned()).collect();
        self.committed.retain(|tp, committed| match empty {
            Some(since) => !old(since.max(committed.at)),
            None => subscribed.contains(&tp.topic) || !old(committed.at),
        });
    }

    /// A topic was deleted: where the group stood in it is forgotten.
    pub(crate) fn forget_topic(&mut self, topic: &TopicName) {
        self.committed.retain(|tp, _| tp.topic != *topic);
        self.begun.retain(|tp, _| tp.topic != *topic);
    }

    /// Notes where a partition without a committed offset is begun.
    pub(crate) fn begin(&mut self, tp: TopicPartition, offset: i64) {
        self.paused.remove(&tp);
        self.begun.entry(tp).or_insert(offset);
    }

    /// Notes that whoever reads a partition fetches no more of it for now, or does again.
    pub(crate) fn pause(&mut self, tp: TopicPartition, paused: bool) {
        match paused {
            true => self.paused.insert(tp),
            false => self.paused.remove(&tp),
        };
    }

    /// Who reads a partition of the group's.
    pub(crate) fn reader(&self, tp: &TopicPartition) -> Reader {
        match self.owners.get(tp) {
            _ if self.sources.is_empty() => Reader::Gone,
            None => Reader::Awaited,
            Some(_) if self.paused.contains(tp) => Reader::Paused,
            Some(_) => Reader::Reads,
        }
    }

    /// From where each partition that the group reads is still to be read; of a group that all have
    /// left in order, each partition that it has read.
    pub(crate) fn places(&self, partitions: &impl Partitions) -> BTreeMap<TopicPartition, i64> {
        if self.sources.is_empty() {
            let mut places = self.begun.clone();
            places.extend(self.committed.iter().map(|(tp, to)| (tp.clone(), to.offset)));
            return places;
        }
        let mut places = BTreeMap::new();
        for (topics, followers) in self.sources.values() {
            let leaders = topics.iter().flat_map(|topic| numbered(topic, partitions(topic)));
            for tp in leaders.flat_map(|leader| bundle(&leader, followers, partitions)) {
                let begun = self.begun.get(&tp).copied();
                let place = self.committed(&tp).or(begun).unwrap_or(0);
                places.insert(tp, place);
            }
        }
        places
    }
}

fn numbered(topic: &TopicName, count: i32) -> impl Iterator<Item = TopicPartition> + use<> {
    let topic = topic.clone();
    (0..count).map(move |partition| TopicPartition { topic: topic.clone(), partition })
}

/// A leader's partition and those that follow it.
fn bundle(
    leader: &TopicPartition,
    followers: &[Follower],
    partitions: &impl Partitions,
) -> Vec<TopicPartition> {
    let follows = |follower: &&Follower| {
        follower.leader == leader.topic && leader.partition < partitions(&follower.topic)
    };
    let following = followers.iter().filter(follows).map(|follower| TopicPartition {
        topic: follower.topic.clone(),
        partition: leader.partition,
    });
    std::iter::once(leader.clone()).chain(following).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: TopicName = TopicName::from_static("t");
    const TIER: TopicName = TopicName::from_static("t.retry.5s");

    fn four(_: &TopicName) -> i32 {
        4
    }

    fn join(group: &mut Group, id: MemberId, now: Instant) {
        let follower = Follower { topic: TIER, leader: MAIN };
        group.join(id, &[MAIN], &[follower], Duration::from_secs(10), now);
        group.balance(&four);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_member_gets_half_of_the_partitions_once_the_first_has_given_them_up() {
        let (mut group, now) = (Group::default(), Instant::now());
        join(&mut group, 1, now);
        assert_eq!(group.moves(1, &four).assign.len(), 8);
        join(&mut group, 2, now);
        assert!(group.moves(2, &four).assign.is_empty(), "nothing is free yet");
        let moves = group.moves(1, &four);
        assert_eq!((moves.revoke.len(), moves.assign.len()), (4, 0));
        group.release(1, &moves.revoke);
        let mut taken = group.moves(2, &four).assign;
        taken.sort();
        assert_eq!(taken, moves.revoke);
        for tp in taken.iter().filter(|tp| tp.topic == TIER) {
            let leader = TopicPartition { topic: MAIN, partition: tp.partition };
            assert_eq!(
                group.owners.get(tp),
                group.owners.get(&leader),
                "tiers lie with their main topic"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_member_loses_its_partitions_and_is_unknown_afterwards() {
        let (mut group, now) = (Group::default(), Instant::now());
        join(&mut group, 1, now);
        group.moves(1, &four);
        assert!(group.expire(now + Duration::from_secs(10)).is_empty());
        assert_eq!(group.expire(now + Duration::from_secs(11)), [1]);
        assert_eq!(group.heartbeat(1, now), Err(UnknownMember));
        join(&mut group, 2, now);
        assert_eq!(group.moves(2, &four).assign.len(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn offsets_of_topics_that_are_not_subscribed_to_are_forgotten_while_the_group_lives() {
        let (mut group, now) = (Group::default(), Instant::now());
        join(&mut group, 1, now);
        let at = |topic| TopicPartition { topic, partition: 0 };
        group.commit(&[(at(MAIN), 5), (at(TIER), 7)], now);
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        let later = now + week + Duration::from_secs(1);
        group.forget(week, later);
        assert_eq!((group.committed(&at(MAIN)), group.committed(&at(TIER))), (Some(5), None));
        group.leave(1, later);
        group.forget(week, later + week);
        assert_eq!(group.committed(&at(MAIN)), Some(5));
        group.forget(week, later + week + Duration::from_secs(1));
        assert_eq!(group.committed(&at(MAIN)), None);
    }
}
