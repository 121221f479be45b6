//! What the check finds, and what it lets pass.

use std::collections::BTreeMap;

use chrono::Utc;

use super::super::people::people;
use super::super::witness::SeenEvent;
use super::*;
use crate::email_service::Mail;

fn delivered(person: &Person, kind: MailKind, number: i64, attempt: u32) -> StoredMail {
    let occurred_at = Utc::now();
    let mail = Mail {
        event_id: String::new(),
        kind,
        user_id: person.user_id,
        to: person.email.clone(),
        subject: String::new(),
        body: String::new(),
        attempt,
        occurred_at,
    };
    StoredMail {
        number,
        mail,
        delivered_at: Some(occurred_at + Duration::from_millis(number.unsigned_abs())),
        tries: 0,
        error: None,
    }
}

/// A run of one user who signs up and leaves, in which all went well.
fn sound() -> Evidence {
    let mut people = people(10, "run.example.org").split_off(9);
    people[0].user_id = Uuid::now_v7();
    let mails = vec![
        delivered(&people[0], MailKind::Welcome, 1, 1),
        delivered(&people[0], MailKind::Goodbye, 2, 1),
    ];
    let mut seen = Seen::default();
    let event = |what, offset| SeenEvent { id: String::new(), what, place: (0, offset) };
    let events = vec![event(What::Created, 0), event(What::Deactivated, 1)];
    seen.events.insert(people[0].user_id, events);
    Evidence { people, mails, failed: Vec::new(), seen, tiers: vec!["1s".into(), "2s".into()] }
}

#[test]
fn a_sound_run_is_found_sound() {
    let evidence = sound();
    let findings = check(&evidence);
    assert!(findings.is_sound(), "{findings:?}");
    assert_eq!((findings.users, findings.events_published, findings.mails_sent), (1, 2, 2));
    assert_eq!(findings.latency, Latency { p50_ms: 1, p95_ms: 2, p99_ms: 2, max_ms: 2 });
    assert!(is_settled(&evidence.people, 2, &evidence.seen));
    assert!(!is_settled(&evidence.people, 1, &evidence.seen));
}

#[test]
fn what_is_missing_doubled_or_out_of_order_is_found() {
    let mut evidence = sound();
    evidence.mails.pop();
    assert_eq!(check(&evidence).missing, ["user-10@run.example.org: goodbye"]);

    let mut evidence = sound();
    evidence.mails.push(delivered(&evidence.people[0], MailKind::Goodbye, 3, 1));
    assert_eq!(check(&evidence).doubled.len(), 1);

    let mut evidence = sound();
    evidence.mails[0].number = 9;
    assert_eq!(check(&evidence).out_of_order, ["user-10@run.example.org: goodbye before welcome"]);

    let mut evidence = sound();
    evidence.seen.events.values_mut().for_each(|events| events.reverse());
    assert_eq!(check(&evidence).out_of_order.len(), 1);
}

#[test]
fn a_welcome_on_a_tier_may_be_overtaken() {
    let mut evidence = sound();
    evidence.mails[0] = delivered(&evidence.people[0], MailKind::Welcome, 9, 3);
    let findings = check(&evidence);
    assert!(findings.is_sound(), "{findings:?}");
    assert_eq!(findings.overtaken, 1);
    assert_eq!(findings.retried, BTreeMap::from([("1s".into(), 1), ("2s".into(), 1)]));
}

#[test]
fn a_dead_letter_is_expected_of_a_broken_mailbox_only() {
    let mut evidence = sound();
    let welcome = evidence.mails.remove(0);
    evidence.seen.dead.push(DeadLetter {
        user_id: welcome.mail.user_id,
        mail: MailKind::Welcome,
        topic: "dead".into(),
        partition: 0,
        offset: 0,
        deliveries: 3,
        error: String::new(),
    });
    assert_eq!(check(&evidence).unexpected.len(), 1);
    evidence.people[0].mailbox = MailboxKind::Broken;
    evidence.mails.clear();
    assert_eq!(check(&evidence).missing, ["user-10@run.example.org: goodbye"]);
    assert!(check(&evidence).unexpected.is_empty());
}
