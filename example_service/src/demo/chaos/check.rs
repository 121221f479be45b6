//! Compares what was asked for, what the user service has, what was published, and what the mailbox has.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use uuid::Uuid;

use super::client::{Life, User};
use crate::demo::witness::{Seen, SeenEvent, What};
use crate::email_service::{MailKind, StoredMail};

/// All that is known after a run.
pub struct Evidence {
    /// What was asked for, and answered.
    pub lives: Vec<Life>,
    /// What is committed.
    pub users: Vec<User>,
    pub mails: Vec<StoredMail>,
    pub seen: Seen,
}

/// What came out.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    pub users: usize,
    pub events: usize,
    pub mails: usize,
    /// Records that lie in the topic again, with the id of an earlier one.
    pub published_twice: usize,
    /// Goodbyes that came before a welcome that was on a retry tier, which is allowed.
    pub overtaken: usize,
    /// Users, changes, events or mails that are not there.
    pub lost: Vec<String>,
    /// Users, events under two ids, or mails that are there twice.
    pub doubled: Vec<String>,
    pub reordered: Vec<String>,
    /// Mails without a user, and what nobody asked for.
    pub unexpected: Vec<String>,
}

impl Findings {
    pub fn is_sound(&self) -> bool {
        [&self.lost, &self.doubled, &self.reordered, &self.unexpected]
            .iter()
            .all(|problems| problems.is_empty())
    }
}

impl Life {
    /// The events that tell of it, in order.
    fn events(&self) -> Vec<What> {
        let renamed = self.names[1..].iter().cloned().map(What::Renamed);
        let left = self.leaves.then_some(What::Deactivated);
        std::iter::once(What::Created).chain(renamed).chain(left).collect()
    }

    /// The mails that it is worth.
    fn mails(&self) -> usize {
        1 + usize::from(self.leaves)
    }
}

/// Whether nothing more is to come: so many mails are there, and each event was seen.
pub fn is_settled(lives: &[Life], users: &[User], mails: usize, seen: &Seen) -> bool {
    let by_address: HashMap<_, _> = users.iter().map(|user| (&*user.email, user.id)).collect();
    mails >= lives.iter().map(Life::mails).sum()
        && lives.iter().all(|life| {
            let id = by_address.get(&*life.email);
            let seen = id.and_then(|id| seen.events.get(id)).map_or(&[][..], Vec::as_slice);
            life.events().iter().all(|what| seen.iter().any(|seen| seen.what == *what))
        })
}

/// Compares.
pub fn check(evidence: &Evidence) -> Findings {
    let Evidence { lives, users, mails, seen } = evidence;
    let mut findings = Findings { users: users.len(), mails: mails.len(), ..Findings::default() };
    let mut by_address: HashMap<&str, Vec<&User>> = HashMap::new();
    for user in users {
        by_address.entry(&user.email).or_default().push(user);
    }
    let mut by_user: HashMap<Uuid, Vec<&StoredMail>> = HashMap::new();
    for mail in mails {
        by_user.entry(mail.mail.user_id).or_default().push(mail);
    }
    for life in lives {
        let found = by_address.remove(&*life.email).unwrap_or_default();
        let Some(user) = found.first() else {
            findings.lost.push(format!("{}: the user", life.email));
            continue;
        };
        if found.len() > 1 {
            findings.doubled.push(format!("{}: {} users", life.email, found.len()));
        }
        if user.full_name != life.name() || user.active == life.leaves {
            findings.lost.push(format!("{}: a change; it is {user:?}", life.email));
        }
        let records = seen.events.get(&user.id).map_or(&[][..], Vec::as_slice);
        published(life, records, &mut findings);
        mailed(life, &by_user.remove(&user.id).unwrap_or_default(), &mut findings);
    }
    for address in by_address.keys() {
        findings.unexpected.push(format!("{address}: a user that nobody asked for"));
    }
    for mails in by_user.values() {
        let to = &mails[0].mail.to;
        findings.unexpected.push(format!("{to}: {} mails without a user", mails.len()));
    }
    findings
}

/// What tells of a user: each once, in order. What comes again of an event is the same, later.
fn published(life: &Life, records: &[SeenEvent], findings: &mut Findings) {
    // By place: who reads again after a pause sees the same records again.
    let records: BTreeMap<_, _> = records.iter().map(|seen| (seen.place, seen)).collect();
    let mut ids = HashSet::new();
    let firsts: Vec<_> = records.values().filter(|seen| ids.insert(&seen.id)).collect();
    findings.events += firsts.len();
    findings.published_twice += records.len() - firsts.len();
    let (expected, is): (Vec<_>, Vec<_>) =
        (life.events(), firsts.iter().map(|seen| &seen.what).collect());
    for what in &expected {
        match is.iter().filter(|is| **is == what).count() {
            0 => findings.lost.push(format!("{}: event {what}", life.email)),
            1 => {}
            count => findings.doubled.push(format!("{}: event {what}, {count} times", life.email)),
        }
    }
    for what in is.iter().filter(|is| !expected.contains(is)) {
        findings.unexpected.push(format!("{}: event {what}", life.email));
    }
    if is.len() == expected.len() && !is.iter().copied().eq(&expected) {
        let order: Vec<_> = is.iter().map(|what| what.to_string()).collect();
        findings.reordered.push(format!("{}: events {}", life.email, order.join(", ")));
    }
}

/// One welcome, and one goodbye for who has left; in this order, unless the welcome was being retried.
fn mailed(life: &Life, mails: &[&StoredMail], findings: &mut Findings) {
    let of = |kind| mails.iter().filter(move |mail| mail.mail.kind == kind);
    for (kind, due) in [(MailKind::Welcome, true), (MailKind::Goodbye, life.leaves)] {
        let name = format!("{}: {kind:?}", life.email).to_lowercase();
        match (of(kind).count(), due) {
            (0, true) => findings.lost.push(name),
            (1, true) | (0, false) => {}
            (_, false) => findings.unexpected.push(name),
            (count, true) => findings.doubled.push(format!("{name}, {count} times")),
        }
    }
    if let (Some(welcome), Some(goodbye)) =
        (of(MailKind::Welcome).next(), of(MailKind::Goodbye).next())
        && goodbye.number < welcome.number
    {
        match welcome.mail.attempt {
            1 => findings.reordered.push(format!("{}: goodbye before welcome", life.email)),
            _ => findings.overtaken += 1,
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
