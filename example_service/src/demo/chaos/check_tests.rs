//! What the check of a chaotic run finds, and what it lets pass.

use chrono::Utc;

use super::*;
use crate::email_service::Mail;

fn record(offset: i64, id: &str, what: What) -> SeenEvent {
    SeenEvent { id: id.into(), what, place: (0, offset) }
}

fn mail(user: &User, number: i64, kind: MailKind) -> StoredMail {
    let now = Utc::now();
    let mail = Mail {
        event_id: String::new(),
        kind,
        user_id: user.id,
        to: user.email.clone(),
        subject: String::new(),
        body: String::new(),
        attempt: 1,
        occurred_at: now,
    };
    StoredMail { number, mail, delivered_at: Some(now), tries: 0, error: None }
}

/// A run of one user who came, took another name and left; one record was published twice.
fn sound() -> Evidence {
    let life = Life {
        email: "ada@run".into(),
        names: vec!["Name 1".into(), "Name 2".into()],
        leaves: true,
    };
    let user = User {
        id: Uuid::now_v7(),
        email: life.email.clone(),
        full_name: "Name 2".into(),
        active: false,
        created_at: Utc::now(),
    };
    let renamed = || What::Renamed("Name 2".into());
    let records = vec![
        record(0, "a", What::Created),
        record(1, "b", renamed()),
        record(2, "b", renamed()),
        record(3, "c", What::Deactivated),
        // Read again.
        record(1, "b", renamed()),
    ];
    let mut seen = Seen::default();
    seen.events.insert(user.id, records);
    let mails = vec![mail(&user, 1, MailKind::Welcome), mail(&user, 4, MailKind::Goodbye)];
    Evidence { lives: vec![life], users: vec![user], mails, seen }
}

impl Evidence {
    fn records(&mut self) -> &mut Vec<SeenEvent> {
        self.seen.events.get_mut(&self.users[0].id).unwrap()
    }
}

#[test]
fn a_sound_run_is_found_sound() {
    let evidence = sound();
    let findings = check(&evidence);
    assert!(findings.is_sound(), "{findings:?}");
    assert_eq!((findings.users, findings.events, findings.mails), (1, 3, 2));
    assert_eq!(findings.published_twice, 1);
    let Evidence { lives, users, seen, .. } = &evidence;
    assert!(is_settled(lives, users, 2, seen));
    assert!(!is_settled(lives, users, 1, seen));
    assert!(!is_settled(lives, users, 2, &Seen::default()));
}

#[test]
fn what_is_lost_is_found() {
    let lost = |change: fn(&mut Evidence), what: &str| {
        let mut evidence = sound();
        change(&mut evidence);
        let found = check(&evidence).lost;
        assert!(found.iter().any(|found| found.contains(what)), "{what}: {found:?}");
    };
    lost(|evidence| evidence.users.clear(), "the user");
    lost(|evidence| evidence.users[0].full_name = "Name 1".into(), "a change");
    lost(|evidence| evidence.users[0].active = true, "a change");
    lost(|evidence| drop(evidence.mails.remove(0)), "welcome");
    lost(|evidence| drop(evidence.mails.remove(1)), "goodbye");
    lost(|evidence| drop(evidence.records().remove(0)), "event created");
}

#[test]
fn what_is_doubled_is_found() {
    let doubled = |change: fn(&mut Evidence), what: &str| {
        let mut evidence = sound();
        change(&mut evidence);
        let found = check(&evidence).doubled;
        assert!(found.iter().any(|found| found.contains(what)), "{what}: {found:?}");
    };
    doubled(|evidence| evidence.mails.push(evidence.mails[0].clone()), "welcome, 2 times");
    doubled(|evidence| evidence.users.push(evidence.users[0].clone()), "2 users");
    // The same change under another id is another event.
    doubled(|evidence| evidence.records()[2].id = "d".into(), "renamed to Name 2, 2 times");
}

#[test]
fn what_is_out_of_order_is_found() {
    let mut evidence = sound();
    evidence.records()[3].place.1 = -1;
    assert_eq!(check(&evidence).reordered.len(), 1);

    let mut evidence = sound();
    evidence.mails[0].number = 9;
    assert_eq!(check(&evidence).reordered, ["ada@run: goodbye before welcome"]);
    evidence.mails[0].mail.attempt = 2;
    assert_eq!((check(&evidence).reordered.len(), check(&evidence).overtaken), (0, 1));
}

#[test]
fn what_nobody_asked_for_is_found() {
    let mut evidence = sound();
    evidence.mails[0].mail.user_id = Uuid::now_v7();
    let findings = check(&evidence);
    assert_eq!(findings.unexpected, ["ada@run: 1 mails without a user"]);
    assert_eq!(findings.lost, ["ada@run: welcome"]);

    let mut evidence = sound();
    evidence.lives.clear();
    assert_eq!(check(&evidence).unexpected.len(), 2);

    let mut evidence = sound();
    evidence.records()[0].what = What::Renamed("Name 9".into());
    assert_eq!(check(&evidence).unexpected, ["ada@run: event renamed to Name 9"]);
}
