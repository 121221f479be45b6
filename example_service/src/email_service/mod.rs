//! The email service: greets who comes and takes leave of who goes.

mod faults;
mod handlers;
mod http;
mod mail;
mod mailbox;
mod smtp;

use std::sync::Arc;

use tidings::consumer::{BuildError, Consumer, Order};
use tidings::error::BoxError;
use tidings::retry::UnknownType;
use tidings::transport::Transport;

pub use faults::{BROKEN, FLAKY, FLAKY_FOR, FaultyMailbox};
pub use handlers::{PostOffice, goodbye, welcome};
pub use http::router;
pub use mail::{Mail, MailError, MailKind, Mailer, Recipient};
pub use mailbox::{Delivered, FailedTry, Mailbox, Tally, Whose};
pub use smtp::Smtp;

use crate::broker::TOPICS;
use crate::settings::Settings;

/// What its events would name as their source, and its consumer group.
pub const NAME: &str = "email-service";

impl PostOffice {
    /// SMTP where the settings say so, else the mailbox.
    ///
    /// # Errors
    /// When the SMTP server's address or the sender cannot be read.
    pub fn open(settings: &Settings) -> Result<Self, BoxError> {
        let mailbox = Mailbox::default();
        let mailer: Arc<dyn Mailer> = match &settings.smtp_url {
            Some(url) => Arc::new(Smtp::new(url, &settings.email_service.sender)?),
            None if settings.email_service.faults => Arc::new(FaultyMailbox::new(mailbox.clone())),
            None => Arc::new(mailbox.clone()),
        };
        Ok(Self { mailer, mailbox })
    }
}

/// The consumer of the user service's events, on Kafka or, in tests, in memory. Retry tiers are a
/// matter of configuration.
///
/// # Errors
/// When it is put together wrongly.
pub fn consumer<T: Transport + Clone>(
    post: PostOffice,
    transport: &T,
) -> Result<Consumer, BuildError> {
    Consumer::builder(NAME)
        .handle(welcome)
        .handle(goodbye)
        .state(post)
        .order(Order::ByKey)
        .concurrency(64)
        // The topic has all that happens to users. What is new to us, or no reason for a mail, is no dead letter.
        .unknown(UnknownType::Ignore)
        .topics(TOPICS)
        .build(transport)
}
