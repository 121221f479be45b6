//! Compares what should have happened with what did.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::people::{MailboxKind, Person};
use super::witness::{DeadLetter, Seen};
use crate::email_service::{Delivered, FailedTry, MailKind};

/// All that is known after a run.
pub struct Evidence {
    pub people: Vec<Person>,
    pub mails: Vec<Delivered>,
    pub failed: Vec<FailedTry>,
    pub seen: Seen,
    /// The retry tiers, shortest first.
    pub tiers: Vec<String>,
}

/// What came out.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    pub users: usize,
    pub events_published: usize,
    pub mails_sent: usize,
    /// Mails that went to each tier.
    pub retried: BTreeMap<String, usize>,
    pub dead_lettered: usize,
    /// Goodbyes that came before a welcome that was on a tier, which is allowed: a failed event gives up its place.
    pub overtaken: usize,
    pub missing: Vec<String>,
    pub doubled: Vec<String>,
    pub out_of_order: Vec<String>,
    /// Dead letters of mailboxes that work in the end, and mails to those that never do.
    pub unexpected: Vec<String>,
    /// From the event to the mail, of those that were taken at once.
    pub latency: Latency,
    /// Where each mail ended that failed at first.
    pub failed: Vec<Fate>,
}

/// Milliseconds.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Latency {
    pub p50_ms: u64,
    pub p95_ms: u64,
    pub p99_ms: u64,
    pub max_ms: u64,
}

/// Where a mail ended that failed at first.
#[derive(Debug, Clone, Serialize)]
pub struct Fate {
    pub to: String,
    pub mail: MailKind,
    /// Deliveries that failed, retries in place not counted.
    pub failed_deliveries: u32,
    pub end: End,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// At this delivery, so long after the event.
    Delivered {
        attempt: u32,
        after_ms: u64,
    },
    DeadLetter(DeadLetter),
    Nowhere,
}

impl Findings {
    /// Whether all is as it should be.
    pub fn is_sound(&self) -> bool {
        [&self.missing, &self.doubled, &self.out_of_order, &self.unexpected]
            .iter()
            .all(|problems| problems.is_empty())
    }
}

/// What is known of one mail.
#[derive(Default)]
struct Traces<'a> {
    mails: Vec<&'a Delivered>,
    dead: Vec<&'a DeadLetter>,
    failed_deliveries: u32,
}

impl Traces<'_> {
    /// The last delivery that there was, from 1.
    fn attempts(&self) -> u32 {
        let delivered = self.mails.iter().map(|mail| mail.mail.attempt).max().unwrap_or(0);
        delivered.max(self.failed_deliveries)
    }
}

/// Whether nothing more is to come: each mail is sent or dead, each event was seen.
pub fn is_settled(people: &[Person], mails_taken: usize, seen: &Seen) -> bool {
    let working = |person: &&Person| person.mailbox != MailboxKind::Broken;
    let mails: usize = people.iter().filter(working).map(|person| person.mails().count()).sum();
    let ours = |user| people.iter().any(|person| person.user_id == user);
    let dead: usize = seen.dead.iter().filter(|letter| ours(letter.user_id)).count();
    let broken = people.iter().filter(|person| !working(person));
    mails_taken >= mails
        && dead >= broken.map(|person| person.mails().count()).sum()
        && people
            .iter()
            .all(|person| seen.events.get(&person.user_id).map_or(0, Vec::len) >= person.events())
}

/// Compares.
pub fn check(evidence: &Evidence) -> Findings {
    let mut traces: HashMap<(Uuid, MailKind), Traces<'_>> = HashMap::new();
    for mail in &evidence.mails {
        traces.entry((mail.mail.user_id, mail.mail.kind)).or_default().mails.push(mail);
    }
    for failed in &evidence.failed {
        let traces = traces.entry((failed.user_id, failed.kind)).or_default();
        traces.failed_deliveries = traces.failed_deliveries.max(failed.attempt);
    }
    for letter in &evidence.seen.dead {
        traces.entry((letter.user_id, letter.mail)).or_default().dead.push(letter);
    }
    let mut findings = Findings { users: evidence.people.len(), ..Findings::default() };
    let mut latencies = Vec::new();
    for person in &evidence.people {
        events(person, evidence, &mut findings);
        for kind in person.mails() {
            let none = Traces::default();
            let traces = traces.get(&(person.user_id, kind)).unwrap_or(&none);
            mail(person, kind, traces, &evidence.tiers, &mut findings);
            latencies.extend(
                traces.mails.iter().filter(|_| traces.attempts() == 1).map(|mail| after(mail)),
            );
        }
        order(person, &traces, &mut findings);
    }
    findings.latency = Latency::of(latencies);
    findings
}

/// The person's events in the topic: each once, in order.
fn events(person: &Person, evidence: &Evidence, findings: &mut Findings) {
    let seen = evidence.seen.events.get(&person.user_id).map_or(&[][..], Vec::as_slice);
    findings.events_published += seen.len();
    let mut expected = vec!["created"];
    expected.extend(person.renamed.then_some("renamed"));
    expected.extend(person.deactivated.then_some("deactivated"));
    for what in &expected {
        match seen.iter().filter(|seen| seen == &what).count() {
            0 => findings.missing.push(format!("{}: event {what}", person.email)),
            1 => {}
            count => {
                findings.doubled.push(format!("{}: event {what}, {count} times", person.email))
            }
        }
    }
    if seen.len() == expected.len() && *seen != expected {
        findings.out_of_order.push(format!("{}: events {}", person.email, seen.join(", ")));
    }
}

fn mail(
    person: &Person,
    kind: MailKind,
    traces: &Traces<'_>,
    tiers: &[String],
    findings: &mut Findings,
) {
    let name = format!("{}: {kind:?}", person.email).to_lowercase();
    findings.mails_sent += traces.mails.len();
    findings.dead_lettered += traces.dead.len();
    for tier in tiers.iter().take(traces.attempts().saturating_sub(1) as usize) {
        *findings.retried.entry(tier.clone()).or_default() += 1;
    }
    match traces.mails.len() + traces.dead.len() {
        0 => findings.missing.push(name.clone()),
        1 => {}
        _ => findings.doubled.push(format!(
            "{name}: {} mails, {} dead letters",
            traces.mails.len(),
            traces.dead.len()
        )),
    }
    match person.mailbox {
        MailboxKind::Broken if !traces.mails.is_empty() => {
            findings.unexpected.push(format!("{name}: a mail to a mailbox that takes none"));
        }
        MailboxKind::Sound | MailboxKind::Flaky if !traces.dead.is_empty() => {
            findings.unexpected.push(format!("{name}: dead letter, {}", traces.dead[0].error));
        }
        _ => {}
    }
    if traces.failed_deliveries > 0 {
        let end = match (traces.mails.first(), traces.dead.first()) {
            (Some(mail), _) => {
                End::Delivered { attempt: mail.mail.attempt, after_ms: millis(after(mail)) }
            }
            (None, Some(letter)) => End::DeadLetter((*letter).clone()),
            (None, None) => End::Nowhere,
        };
        let failed_deliveries = traces.failed_deliveries;
        findings.failed.push(Fate { to: person.email.clone(), mail: kind, failed_deliveries, end });
    }
}

/// Whoever leaves is greeted first, unless the greeting failed at first.
fn order(person: &Person, traces: &HashMap<(Uuid, MailKind), Traces<'_>>, findings: &mut Findings) {
    let of = |kind| traces.get(&(person.user_id, kind)).filter(|traces| !traces.mails.is_empty());
    let (Some(welcome), Some(goodbye)) = (of(MailKind::Welcome), of(MailKind::Goodbye)) else {
        return;
    };
    if welcome.mails[0].number < goodbye.mails[0].number {
        return;
    }
    match welcome.attempts() {
        1 => findings.out_of_order.push(format!("{}: goodbye before welcome", person.email)),
        _ => findings.overtaken += 1,
    }
}

fn after(mail: &Delivered) -> Duration {
    (mail.delivered_at - mail.mail.occurred_at).to_std().unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Latency {
    fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        // The nearest rank: the smallest value that so many percent do not exceed.
        let at = |percent: usize| {
            let rank = (latencies.len() * percent).div_ceil(100).max(1);
            latencies.get(rank - 1).copied().map(millis).unwrap_or_default()
        };
        Self { p50_ms: at(50), p95_ms: at(95), p99_ms: at(99), max_ms: at(100) }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
