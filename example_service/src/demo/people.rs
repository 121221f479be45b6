//! The users of one run, and what is going to happen to each.

use uuid::Uuid;

use super::witness::What;
use crate::email_service::{BROKEN, FLAKY, MailKind};

/// A user to be.
#[derive(Debug, Clone)]
pub struct Person {
    pub email: String,
    pub full_name: String,
    pub mailbox: MailboxKind,
    /// Takes another name after signing up.
    pub renamed: bool,
    /// Leaves after that.
    pub deactivated: bool,
    /// As the user service said it.
    pub user_id: Uuid,
}

/// How well a user's mailbox works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailboxKind {
    Sound,
    /// Fails for a while.
    Flaky,
    /// Fails always.
    Broken,
}

/// Every third is renamed, every tenth leaves; of each hundred one has a flaky mailbox and one a
/// broken one. Each run has a domain of its own, by which its mails are known.
pub fn people(count: usize, domain: &str) -> Vec<Person> {
    (1..=count)
        .map(|number| {
            let (mailbox, prefix) = match number % 100 {
                0 => (MailboxKind::Flaky, FLAKY),
                50 => (MailboxKind::Broken, BROKEN),
                _ => (MailboxKind::Sound, "user-"),
            };
            Person {
                email: format!("{prefix}{number}@{domain}"),
                full_name: format!("User {number}"),
                mailbox,
                renamed: number % 3 == 0,
                deactivated: number % 10 == 0,
                user_id: Uuid::nil(),
            }
        })
        .collect()
}

impl Person {
    /// The mails that this user is to get, if the mailbox works one day.
    pub fn mails(&self) -> impl Iterator<Item = MailKind> + use<> {
        let goodbye = self.deactivated.then_some(MailKind::Goodbye);
        std::iter::once(MailKind::Welcome).chain(goodbye)
    }

    /// The name that the user takes later.
    pub fn new_name(&self) -> Option<String> {
        self.renamed.then(|| format!("{} the Renamed", self.full_name))
    }

    /// The events that are published about this user, in order.
    pub fn events(&self) -> Vec<What> {
        let renamed = self.new_name().map(What::Renamed);
        let left = self.deactivated.then_some(What::Deactivated);
        std::iter::once(What::Created).chain(renamed).chain(left).collect()
    }
}
