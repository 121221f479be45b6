//! `create-topics`: all that this binary's consumers, workers and publishers need.

use serde_json::{Value, json};

use super::args::CreateTopics;
use super::connect::Session;
use super::error::{CliError, Exit};
use super::out::Out;
use crate::transport::kafka::Kafka;
use crate::transport::look::{Compared, Looked};
use crate::transport::{
    Look, TopicDifference, TopicNeed, TopicProblem, TopicSetup, Transport as _, advised,
};

pub(super) async fn run(
    session: &Session,
    wanted: CreateTopics,
    out: &mut Out,
) -> Result<(), CliError> {
    let kafka = session.connect()?;
    let (needs, setup) = needed(session, &kafka, &wanted)?;
    let (admin, within) = (kafka.admin(), session.within());
    let mut look = Look::at(&*admin, &needs, within).await?;
    let missing: Vec<_> = look.missing().map(|problem| problem.topic().clone()).collect();
    if !wanted.dry_run && !missing.is_empty() {
        look.make(&*admin, setup, within).await?;
    }
    let compared = look.compare(setup);
    let each = look.0.iter().map(|looked| {
        let was_missing = missing.contains(&looked.need.name);
        Row::new(&look, looked, (was_missing, setup), &compared)
    });
    let each: Vec<_> = each.collect();
    tell(&each, out)?;
    let differ = each.iter().filter(|row| row.differs()).count();
    match (differ, &*compared.problems) {
        (0, _) => Ok(()),
        (differ, []) => {
            let topics = if differ == 1 { "topic is" } else { "topics are" };
            let text = format!("{differ} {topics} there otherwise than declared, and not changed");
            Err(CliError::new(Exit::Refused, text))
        }
        (_, problems) => {
            let text = format!("what is there is not changed: {}", advised(problems));
            Err(CliError::new(Exit::Refused, text))
        }
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
                ("missing", new.partitions, new.replication)
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
