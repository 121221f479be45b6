//! `create-topics`: all that this binary's consumers, workers and publishers need.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::CreateTopics;
use super::connect::Session;
use super::error::{CliError, Exit};
use super::out::Out;
use crate::event::TopicName;
use crate::retry::format_duration;
use crate::transport::kafka::Kafka;
use crate::transport::look::{Compared, Looked};
use crate::transport::{
    Admin, Look, TopicDifference, TopicNeed, TopicProblem, TopicSetup, TopicsError, Transport as _,
    advised,
};

/// What became of a topic that is not there.
const MISSING: &str = "missing";

pub(super) async fn run(
    session: &Session,
    wanted: CreateTopics,
    out: &mut Out,
) -> Result<(), CliError> {
    let kafka = session.connect()?;
    let (needs, setup) = needed(session, &kafka, &wanted)?;
    let (admin, within) = (kafka.admin(), session.within());
    let made = Made::of(&*admin, &needs, setup, wanted.dry_run, within).await?;
    let compared = made.compared();
    let each = made.rows(&compared);
    tell(&each, out)?;
    let differ = each.iter().filter(|row| row.result != MISSING && row.differs()).count();
    if let Some(error) = made.failed {
        return Err(error.into());
    }
    verdict(&compared.problems, differ, within)
}

/// How the command ends once all is told.
fn verdict(problems: &[TopicProblem], differ: usize, within: Duration) -> Result<(), CliError> {
    let is_missing = |problem: &TopicProblem| matches!(problem, TopicProblem::Missing(_));
    let (missing, problems): (Vec<_>, Vec<_>) = problems.iter().cloned().partition(is_missing);
    let mut told = Vec::new();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|problem| problem.topic().as_str()).collect();
        told.push(format!(
            "asked for, and not there within {}: {}; the same command again shows whether they came",
            format_duration(within),
            names.join(", ")
        ));
    }
    if !problems.is_empty() {
        told.push(format!("what is there is not changed: {}", advised(&problems)));
    } else if differ > 0 {
        let topics = if differ == 1 { "topic is" } else { "topics are" };
        told.push(format!("{differ} {topics} there otherwise than declared, and not changed"));
    }
    if told.is_empty() { Ok(()) } else { Err(CliError::new(Exit::Refused, told.join("; "))) }
}

/// What there is once all that was missing has been asked for.
struct Made {
    look: Look,
    setup: TopicSetup,
    dry_run: bool,
    was_missing: Vec<TopicName>,
    /// Some were made, and then not all could be.
    failed: Option<TopicsError>,
}

impl Made {
    /// # Errors
    /// When nothing was made.
    async fn of(
        admin: &dyn Admin,
        needs: &[TopicNeed],
        setup: TopicSetup,
        dry_run: bool,
        within: Duration,
    ) -> Result<Self, TopicsError> {
        let mut look = Look::at(admin, needs, within).await?;
        let missing =
            |look: &Look| look.missing().map(|problem| problem.topic().clone()).collect::<Vec<_>>();
        let (was_missing, mut failed) = (missing(&look), None);
        if !dry_run
            && !was_missing.is_empty()
            && let Err(error) = look.make(admin, setup, within).await
        {
            // Of those that it names some may be there. Where that cannot be seen, what was seen before holds.
            let _ = look.again(admin, within).await;
            if missing(&look).len() == was_missing.len() {
                return Err(error);
            }
            failed = Some(error);
        }
        Ok(Self { look, setup, dry_run, was_missing, failed })
    }

    fn compared(&self) -> Compared {
        let mut compared = self.look.compare(self.setup);
        if !self.dry_run {
            compared.problems.extend(self.look.missing());
        }
        compared
    }

    fn rows<'a>(&'a self, compared: &'a Compared) -> Vec<Row<'a>> {
        let row = |looked: &'a Looked| {
            let was_missing = self.was_missing.contains(&looked.need.name);
            Row::new(&self.look, looked, (was_missing, self.setup), compared)
        };
        self.look.0.iter().map(row).collect()
    }
}

/// What the binary needs, and what holds where nothing is declared.
fn needed(
    session: &Session,
    kafka: &Kafka,
    wanted: &CreateTopics,
) -> Result<(Vec<TopicNeed>, TopicSetup), CliError> {
    let app = &session.app;
    let mut needs: Vec<_> = app.topics.iter().cloned().map(TopicNeed::from).collect();
    needs.extend(app.named.iter().cloned().map(TopicNeed::from));
    let (mut partitions, mut replication) = (wanted.partitions, wanted.replication);
    for (_, built) in app.built(kafka) {
        let consumer = built?;
        needs.extend(consumer.needs());
        if let TopicSetup::Create { partitions: some, replication: copies } = consumer.topic_setup()
        {
            partitions = partitions.or(some);
            replication = replication.or(copies);
        }
    }
    if needs.is_empty() {
        return Err(CliError::unknown(format!(
            "this binary knows no topics; `App::topic`, `App::publishes`, `App::consumer` and `App::worker` make them \
             known, and `{} create-topic NAME` makes one",
            app.name
        )));
    }
    Ok((needs, TopicSetup::Create { partitions, replication }))
}

/// What became of a topic.
struct Row<'a> {
    name: &'a str,
    result: &'static str,
    partitions: Option<i32>,
    copies: Option<i32>,
    differences: Vec<&'a TopicDifference>,
    problems: Vec<&'a TopicProblem>,
}

impl<'a> Row<'a> {
    fn new(
        look: &Look,
        looked: &'a Looked,
        (was_missing, setup): (bool, TopicSetup),
        compared: &'a Compared,
    ) -> Self {
        let name = &looked.need.name;
        let differences = compared.differences.0.iter().filter(|d| d.topic == *name).collect();
        let problems = compared.problems.iter().filter(|p| p.topic() == name).collect();
        let (result, partitions, copies) = match &looked.is {
            Some(is) => {
                let result = if was_missing { "made" } else { "there" };
                (result, Some(is.partitions), is.replication)
            }
            None => {
                let new = look.new_topic(looked, setup);
                (MISSING, new.partitions, new.replication)
            }
        };
        let row = Self { name: name.as_str(), result, partitions, copies, differences, problems };
        if row.differs() && !was_missing { Self { result: "differs", ..row } } else { row }
    }

    fn differs(&self) -> bool {
        !self.differences.is_empty() || !self.problems.is_empty()
    }

    /// In what it differs, on one line.
    fn otherwise(&self) -> String {
        let each = self.differences.iter();
        let each = each.map(|d| format!("{} is {} and not {}", d.setting, d.is, d.declared));
        // What differs from a declaration is among the differences.
        let beside = self.problems.iter().filter_map(|problem| match problem {
            TopicProblem::FewerThanMain { is, main, needed, .. } => {
                Some(format!("partitions is {is} and {main} has {needed}"))
            }
            _ => None,
        });
        each.chain(beside).collect::<Vec<_>>().join(", ")
    }
}

fn tell(each: &[Row<'_>], out: &mut Out) -> Result<(), CliError> {
    let number = |number: Option<i32>| number.map_or_else(|| "-".into(), |n| n.to_string());
    let rows = each.iter().map(|row| {
        let (partitions, copies) = (number(row.partitions), number(row.copies));
        [row.name.to_owned(), row.result.to_owned(), partitions, copies, row.otherwise()]
    });
    out.table(["TOPIC", "RESULT", "PARTITIONS", "REPLICATION", "DIFFERS"], rows, || {
        let all = each.iter().map(|row| {
            let differences = row
                .differences
                .iter()
                .map(|d| json!({ "setting": d.setting, "declared": d.declared, "is": d.is }));
            let problems = row.problems.iter().map(
                |problem| json!({ "problem": problem.to_string(), "advice": problem.advice() }),
            );
            json!({
                "topic": row.name,
                "result": row.result,
                "partitions": row.partitions,
                "replication": row.copies,
                "differences": differences.collect::<Vec<_>>(),
                "problems": problems.collect::<Vec<_>>(),
            })
        });
        Value::Array(all.collect())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::error::ErrorClass;
    use crate::transport::{NewTopic, TopicDescription, TransportError};

    /// Makes main topics only, and answers so to what else it is asked for.
    struct OnlyMains {
        retries: fn() -> Result<(), TransportError>,
        there: Mutex<Vec<TopicName>>,
    }

    #[async_trait]
    impl Admin for OnlyMains {
        async fn describe(
            &self,
            topics: &[TopicName],
            _: Duration,
        ) -> Result<Vec<Option<TopicDescription>>, TransportError> {
            let there = self.there.lock().unwrap();
            let is = TopicDescription {
                partitions: 1,
                append_time: None,
                replication: None,
                configuration: Default::default(),
            };
            Ok(topics.iter().map(|topic| there.contains(topic).then(|| is.clone())).collect())
        }

        async fn create(&self, topics: &[NewTopic], _: Duration) -> Result<(), TransportError> {
            for topic in topics {
                if topic.name.as_str().contains("retry") {
                    return (self.retries)();
                }
                self.there.lock().unwrap().push(topic.name.clone());
            }
            Ok(())
        }

        async fn topics(&self, _: Duration) -> Result<Vec<TopicName>, TransportError> {
            Ok(self.there.lock().unwrap().clone())
        }

        async fn brokers(&self, _: Duration) -> Result<Option<i32>, TransportError> {
            Ok(Some(1))
        }
    }

    fn refusal() -> Result<(), TransportError> {
        Err(TransportError {
            what: "no more topics".into(),
            class: ErrorClass::Permanent,
            source: None,
        })
    }

    async fn made(retries: fn() -> Result<(), TransportError>, dry_run: bool) -> Made {
        let admin = OnlyMains { retries, there: Mutex::default() };
        let main = TopicName::from_static("users");
        let retry = TopicNeed {
            like: Some(main.clone()),
            ..TopicNeed::plain(TopicName::from_static("users.retry.5s"))
        };
        let setup = TopicSetup::Create { partitions: None, replication: None };
        Made::of(&admin, &[main.into(), retry], setup, dry_run, Duration::ZERO).await.unwrap()
    }

    fn results(made: &Made) -> Vec<&'static str> {
        made.rows(&made.compared()).iter().map(|row| row.result).collect()
    }

    #[tokio::test]
    async fn a_topic_that_does_not_come_in_time_is_told_and_is_no_success() {
        let made = made(|| Ok(()), false).await;
        assert_eq!(results(&made), ["made", MISSING]);
        assert!(made.failed.is_none());
        let error = verdict(&made.compared().problems, 0, Duration::from_secs(7)).unwrap_err();
        assert_eq!(error.exit, Exit::Refused);
        assert!(error.text.contains("not there within 7s: users.retry.5s;"), "{}", error.text);
    }

    #[tokio::test]
    async fn what_was_made_before_one_was_refused_is_told() {
        let made = made(refusal, false).await;
        assert_eq!(results(&made), ["made", MISSING]);
        assert_eq!(made.failed.unwrap().to_string(), "no more topics");
    }

    #[tokio::test]
    async fn a_dry_run_asks_for_nothing_and_misses_nothing() {
        let made = made(refusal, true).await;
        assert_eq!(results(&made), [MISSING, MISSING]);
        assert!(verdict(&made.compared().problems, 0, Duration::ZERO).is_ok());
    }
}
