//! One look at topics: what is there, what is wrong with it, what is to be made.

use std::time::Duration;

use tokio::time::Instant;

use super::problems::TopicProblem;
use super::{
    Admin, NewTopic, TopicDescription, TopicDifferences, TopicNeed, TopicSetup, TopicsError,
};
use crate::event::{TopicName, TopicSpec};

/// A topic that was looked at.
pub(crate) struct Looked {
    pub(crate) need: TopicNeed,
    /// How many copies it has to have in this cluster.
    copies: Option<i32>,
    /// `None`: it is not there.
    pub(crate) is: Option<TopicDescription>,
}

/// Topics as they were when they were looked at. Looking changes nothing.
pub(crate) struct Look(pub(crate) Vec<Looked>);

/// What those that are there are not.
#[derive(Default)]
pub(crate) struct Compared {
    pub(crate) problems: Vec<TopicProblem>,
    pub(crate) differences: TopicDifferences,
}

impl Look {
    /// Looks at each topic once.
    pub(crate) async fn at(
        admin: &dyn Admin,
        needs: &[TopicNeed],
        within: Duration,
    ) -> Result<Self, TopicsError> {
        let needs = each_once(needs)?;
        let copies = copies(admin, &needs, within).await?;
        let found = describe(admin, &needs, within).await?;
        let looked = needs.into_iter().zip(copies).zip(found);
        Ok(Self(looked.map(|((need, copies), is)| Looked { need, copies, is }).collect()))
    }

    /// Those that are not there.
    pub(crate) fn missing(&self) -> impl Iterator<Item = TopicProblem> {
        let missing = self.0.iter().filter(|looked| looked.is.is_none());
        missing.map(|looked| TopicProblem::Missing(looked.need.name.clone()))
    }

    /// What a start would make with this setup.
    ///
    /// # Errors
    /// When something is wrong, so that it would make nothing.
    pub(crate) fn to_be_made(
        &self,
        admin: &dyn Admin,
        setup: TopicSetup,
    ) -> Result<Vec<TopicName>, TopicsError> {
        let Compared { mut problems, differences } = self.compare(setup);
        if setup == TopicSetup::Verify && !admin.makes_what_is_missing() {
            problems.extend(self.missing());
        }
        if problems.is_empty() {
            return Ok(self.missing().map(|problem| problem.topic().clone()).collect());
        }
        Err(TopicsError::NotAsNeeded { problems, differences })
    }

    /// What is wrong with those that are there, beside those that would be made with this setup.
    pub(crate) fn compare(&self, setup: TopicSetup) -> Compared {
        let mut compared = Compared::default();
        for Looked { need, copies, is } in &self.0 {
            let Some(is) = is else { continue };
            compared.problems.extend(compared.differences.compare(need, is, *copies));
            if let Some(main) = &need.like
                && let Some(needed) = self.partitions_of(main, setup)
                && is.partitions < needed
            {
                compared.problems.push(TopicProblem::FewerThanMain {
                    topic: need.name.clone(),
                    is: is.partitions,
                    main: main.clone(),
                    needed,
                });
            }
        }
        compared
    }

    /// How many partitions a topic has or would be made with; `None` where the broker's default decides.
    fn partitions_of(&self, name: &TopicName, setup: TopicSetup) -> Option<i32> {
        let looked = self.0.iter().find(|looked| looked.need.name == *name)?;
        match &looked.is {
            Some(is) => Some(is.partitions),
            None => looked.as_declared().partitions.or(defaults(setup).0),
        }
    }

    /// How many partitions the largest has, or is declared with.
    fn most_partitions(&self) -> Option<i32> {
        let known = self.0.iter().filter_map(|looked| match &looked.is {
            Some(is) => Some(is.partitions),
            None => looked.as_declared().partitions,
        });
        known.max()
    }

    /// What a topic would be made as, as far as it is known before its main topic is there.
    pub(crate) fn new_topic(&self, looked: &Looked, setup: TopicSetup) -> NewTopic {
        let (partitions, replication) = defaults(setup);
        let new = looked.as_declared();
        let like = looked.need.like.as_ref().and_then(|main| self.partitions_of(main, setup));
        NewTopic {
            partitions: like.or(new.partitions).or(partitions),
            replication: new.replication.or(replication),
            ..new
        }
    }

    /// Makes what is missing, and looks until it is there. What somebody else has made meanwhile stays as it is.
    pub(crate) async fn make(
        &mut self,
        admin: &dyn Admin,
        setup: TopicSetup,
        within: Duration,
    ) -> Result<(), TopicsError> {
        // Main topics first: a retry topic is made with as many partitions as its main topic has.
        for mains in [true, false] {
            let missing = self.0.iter().filter(|looked| looked.is.is_none());
            let mut new: Vec<_> = missing
                .filter(|looked| looked.need.like.is_none() == mains)
                .map(|looked| self.new_topic(looked, setup))
                .collect();
            if admin.makes_what_is_missing() {
                // As it would make them when it is asked for all: alike.
                let most = self.most_partitions();
                new.iter_mut().for_each(|new| new.partitions = new.partitions.or(most));
            }
            if !new.is_empty() {
                let names: Vec<_> = new.iter().map(|topic| topic.name.as_str()).collect();
                tracing::info!(topics = names.join(" "), "creating topics");
                admin.create(&new, within).await?;
                self.until_there(admin, &new, within).await?;
            }
        }
        Ok(())
    }

    /// Looks again at which are there.
    pub(crate) async fn again(
        &mut self,
        admin: &dyn Admin,
        within: Duration,
    ) -> Result<(), TopicsError> {
        let needs: Vec<_> = self.0.iter().map(|looked| looked.need.clone()).collect();
        let found = describe(admin, &needs, within).await?;
        for (looked, is) in self.0.iter_mut().zip(found) {
            looked.is = is;
        }
        Ok(())
    }

    /// A topic is there a moment after the broker has said that it made it.
    async fn until_there(
        &mut self,
        admin: &dyn Admin,
        new: &[NewTopic],
        within: Duration,
    ) -> Result<(), TopicsError> {
        let deadline = Instant::now() + within;
        loop {
            self.again(admin, within).await?;
            let mut missing = self.0.iter().filter(|looked| looked.is.is_none());
            let are_there =
                !missing.any(|looked| new.iter().any(|topic| topic.name == looked.need.name));
            if are_there || Instant::now() > deadline {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Logs what can be lived with.
    pub(super) fn warn(&self, differences: &TopicDifferences) {
        let keeps = |is: &TopicDescription| is.append_time == Some(false);
        for Looked { need, is, .. } in &self.0 {
            if need.append_time && is.as_ref().is_some_and(keeps) {
                tracing::warn!(
                    topic = %need.name,
                    "this retry topic keeps its producers' time; due times are less exact than with message.timestamp.type=LogAppendTime"
                );
            }
        }
        if !differences.is_empty() {
            tracing::warn!(
                "topics differ from what is declared, and stay as they are{}",
                differences.below()
            );
        }
    }
}

impl Looked {
    /// The topic as it is declared; what is not said is left to the broker.
    fn as_declared(&self) -> NewTopic {
        let (need, declared) = (&self.need, self.need.declared.as_ref());
        NewTopic {
            partitions: declared.and_then(|spec| spec.settings().partitions),
            replication: self.copies,
            append_time: need.append_time,
            configuration: declared.map(|spec| spec.configuration(self.copies)).unwrap_or_default(),
            ..NewTopic::new(need.name.clone())
        }
    }
}

/// Partitions and copies of what is not declared.
fn defaults(setup: TopicSetup) -> (Option<i32>, Option<i32>) {
    match setup {
        TopicSetup::Create { partitions, replication } => (partitions, replication),
        TopicSetup::Verify | TopicSetup::Off => (None, None),
    }
}

/// Each topic once, as it is declared where it is: two declarations of one must not differ.
fn each_once(needs: &[TopicNeed]) -> Result<Vec<TopicNeed>, TopicsError> {
    let mut each: Vec<TopicNeed> = Vec::with_capacity(needs.len());
    let mut problems = Vec::new();
    for need in needs {
        if let Some(Err(error)) = need.declared.as_ref().map(TopicSpec::validate) {
            problems.push(error.to_string());
        }
        let Some(known) = each.iter_mut().find(|known| known.name == need.name) else {
            each.push(need.clone());
            continue;
        };
        match (&known.declared, &need.declared) {
            (Some(one), Some(other)) if one != other => {
                problems.push(format!("{} is declared twice, and not alike", need.name));
            }
            (None, Some(_)) => known.declared.clone_from(&need.declared),
            _ => {}
        }
        // One names it, another retries on it.
        known.like = known.like.take().or_else(|| need.like.clone());
        known.append_time |= need.append_time;
    }
    if let Some((one, other)) = TopicName::collision(each.iter().map(|need| &need.name)) {
        problems.push(format!(
            "{one} and {other} differ in `.` and `_` only, which brokers refuse; rename one"
        ));
    }
    if problems.is_empty() { Ok(each) } else { Err(TopicsError::Declared { problems }) }
}

/// How many copies each declared topic has to have in this cluster.
async fn copies(
    admin: &dyn Admin,
    needs: &[TopicNeed],
    within: Duration,
) -> Result<Vec<Option<i32>>, TopicsError> {
    if needs.iter().all(|need| need.declared.is_none()) {
        return Ok(vec![None; needs.len()]);
    }
    let brokers = admin.brokers(within).await?;
    let (mut copies, mut problems) = (Vec::new(), Vec::new());
    for need in needs {
        match need.declared.as_ref().map_or(Ok(None), |spec| spec.copies(brokers)) {
            Ok(number) => copies.push(number),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if problems.is_empty() { Ok(copies) } else { Err(TopicsError::Declared { problems }) }
}

async fn describe(
    admin: &dyn Admin,
    needs: &[TopicNeed],
    within: Duration,
) -> Result<Vec<Option<TopicDescription>>, TopicsError> {
    let mut names: Vec<_> = needs.iter().map(|need| need.name.clone()).collect();
    if admin.makes_what_is_missing() {
        // It would make what it is asked for, and otherwise than it is declared.
        let there = admin.topics(within).await?;
        names.retain(|name| there.contains(name));
    }
    let found = admin.describe(&names, within).await?;
    let mut found: Vec<_> = names.into_iter().zip(found).collect();
    let mut of = |need: &TopicNeed| {
        let at = found.iter().position(|(name, _)| *name == need.name)?;
        found.swap_remove(at).1
    };
    Ok(needs.iter().map(&mut of).collect())
}
