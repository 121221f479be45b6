//! Compares what should have happened with what did.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::findings::{End, Fate, Findings, Latency, millis};
use super::people::{MailboxKind, Person};
use super::witness::{DeadLetter, Seen, What};
use crate::email_service::{FailedTry, Mail, MailKind, StoredMail};

/// All that is known after a run.
pub struct Evidence {
    pub people: Vec<Person>,
    pub mails: Vec<StoredMail>,
    pub failed: Vec<FailedTry>,
    pub seen: Seen,
    /// The retry tiers, shortest first.
    pub tiers: Vec<String>,
}

/// What is known of one mail.
#[derive(Default)]
struct Traces<'a> {
    mails: Vec<&'a StoredMail>,
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
        && people.iter().all(|person| {
            seen.events.get(&person.user_id).map_or(0, Vec::len) >= person.events().len()
        })
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
    let expected = person.events();
    for what in &expected {
        match seen.iter().filter(|seen| seen.what == *what).count() {
            0 => findings.missing.push(format!("{}: event {what}", person.email)),
            1 => {}
            count => {
                findings.doubled.push(format!("{}: event {what}, {count} times", person.email))
            }
        }
    }
    let order = seen.iter().map(|seen| &seen.what);
    if seen.len() == expected.len() && !order.clone().eq(&expected) {
        let order: Vec<_> = order.map(What::to_string).collect();
        findings.out_of_order.push(format!("{}: events {}", person.email, order.join(", ")));
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

fn after(mail: &StoredMail) -> Duration {
    let Mail { occurred_at, .. } = mail.mail;
    (mail.delivered_at.unwrap_or(occurred_at) - occurred_at).to_std().unwrap_or_default()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
