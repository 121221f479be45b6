//! Takes mails from the database to SMTP, after the transaction that put them there: at least once. A
//! mail that is sent twice has the same `Message-ID`, so that a mail program shows it once.

use std::time::Duration;

use chrono::Utc;
use futures::stream::{self, StreamExt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::mail::MailError;
use super::mailbox::{FailedTry, StoredMail};
use super::smtp::Smtp;
use super::store::{Mails, Tried};

/// How often it is looked for mails where there was none.
const LOOK: Duration = Duration::from_millis(200);
/// How long a mail is one sender's: longer than the server may take for it.
const TAKEN: Duration = Duration::from_secs(60);
/// Mails that are sent at the same time.
const AT_ONCE: usize = 8;
/// How long it waits after a first failure, and at most; in between twice as long each time.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Sends until it is to stop, and then finishes what it has begun. Several may work on the same tables.
pub(super) async fn send_all<S: Mails>(mails: S, smtp: Smtp, stopping: watch::Receiver<bool>) {
    let (mails, smtp) = (&mails, &smtp);
    let due = stream::unfold(stopping, |mut stopping| async {
        Some((next(mails, &mut stopping).await?, stopping))
    });
    due.for_each_concurrent(AT_ONCE, |mail| async move {
        let outcome = send(mails, smtp, &mail).await;
        if let Err(error) = mails.tried(mail.number, &outcome).await {
            // Its time is over after a while, and it is sent again.
            tracing::warn!(number = mail.number, %error, "it could not be noted how a mail went");
        }
    })
    .await;
}

/// The next mail that is due, whenever that is; none when it is to stop.
async fn next<S: Mails>(mails: &S, stopping: &mut watch::Receiver<bool>) -> Option<StoredMail> {
    while !*stopping.borrow_and_update() {
        let now = Utc::now();
        match mails.take_due(now.timestamp_millis(), (now + TAKEN).timestamp_millis()).await {
            Ok(Some(mail)) => return Some(mail),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the mails that are due cannot be read"),
        }
        // Whoever could say it is gone: then it is to stop, too.
        if let Ok(Err(_)) = timeout(LOOK, stopping.changed()).await {
            break;
        }
    }
    None
}

async fn send<S: Mails>(mails: &S, smtp: &Smtp, stored: &StoredMail) -> Tried {
    let Err(failure) = smtp.send(&stored.mail).await else { return Tried::Sent };
    let error = tidings::error::chain(&failure);
    let failed = FailedTry::now(&stored.mail, stored.tries, error.clone());
    if let Err(error) = mails.note(&failed).await {
        tracing::warn!(%error, "a failed try could not be written down");
    }
    match failure {
        MailError::Never(_) => Tried::Refused { error },
        MailError::NotNow(_) | MailError::ServerAway(_) => {
            let at = Utc::now() + wait(stored.tries);
            Tried::Later { at: at.timestamp_millis(), error }
        }
    }
}

/// After so many tries.
fn wait(tries: u32) -> Duration {
    let (first, most) = WAITS;
    first.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_longer_each_time_and_not_for_ever() {
        let waits: Vec<_> = [1, 2, 3, 100].map(wait).map(|wait| wait.as_millis()).into();
        assert_eq!(waits, [500, 1_000, 2_000, 60_000]);
    }
}
