//! The email service: greets who comes and takes leave of who goes.

mod background;
mod faults;
mod handlers;
mod http;
mod mail;
mod mailbox;
mod notes;
mod sender;
mod smtp;
mod store;

use std::sync::Arc;

use tidings::consumer::{BuildError, Consumer, Order};
use tidings::error::BoxError;
use tidings::event::Source;
use tidings::inbox::Inbox;
use tidings::outbox::Outbox;
use tidings::retry::UnknownType;
use tidings::transport::Transport;

pub use background::Background;
pub use faults::{BROKEN, FLAKY, Faults};
pub use handlers::{PostOffice, goodbye, welcome};
pub use http::{Handled, router};
pub use mail::{Mail, MailError, MailKind, Recipient};
pub use mailbox::{FailedTry, StoredMail, Tally, Whose};
pub use smtp::Smtp;
pub use store::{Mails, SCHEMA, Tried};

use crate::broker::{START, TOPICS};
use crate::settings::Settings;

/// What its events would name as their source, and its consumer group.
pub const NAME: &str = "email-service";

impl<S: Mails> PostOffice<S> {
    /// Mails go on to SMTP where the settings say so, else they stay in the mailbox.
    ///
    /// # Errors
    /// When the SMTP server's address or the sender cannot be read.
    pub fn open(mails: S, settings: &Settings) -> Result<(Self, Background), BoxError> {
        let mut tasks = Background::new();
        let notes = notes::begin(mails.clone(), &mut tasks);
        let smtp = match &settings.smtp_url {
            Some(url) => Some(Smtp::new(url, &settings.email_service.sender)?),
            None => None,
        };
        let for_smtp = smtp.is_some();
        if let Some(smtp) = smtp {
            tasks.spawn(sender::send_all(mails.clone(), smtp, tasks.stopping()));
        }
        let faults = settings.email_service.faults.then(Arc::default);
        Ok((Self { mails, smtp: for_smtp, faults, notes }, tasks))
    }
}

/// The consumer of the user service's events, on Kafka or, in tests, in memory. Retry tiers are a
/// matter of configuration.
///
/// # Errors
/// When it is put together wrongly.
pub fn consumer<S: Mails, T: Transport + Clone>(
    post: PostOffice<S>,
    transport: &T,
) -> Result<Consumer, BuildError> {
    let source = Source::new(NAME).expect("the name is short and plain");
    let inbox = Inbox::new(Outbox::new(post.mails.clone(), source));
    Consumer::builder(NAME)
        .handle(welcome::<S>)
        .handle(goodbye::<S>)
        .state(post)
        // What an event leads to happens once, however often it comes.
        .inbox(inbox)
        .order(Order::ByKey)
        .concurrency(64)
        // The topic has all that happens to users. What is new to us, or no reason for a mail, is no dead letter.
        .unknown(UnknownType::Ignore)
        .topics(TOPICS)
        .start_wait(START)
        .build(transport)
}
