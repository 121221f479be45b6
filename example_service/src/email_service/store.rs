//! Mails in the service's database: the mailbox, and what waits for SMTP.

use std::future::Future;

use chrono::Utc;
use sqlx::{PgConnection, SqliteConnection};
use tidings::store::postgres::PostgresStore;
use tidings::store::sqlite::SqliteStore;

use super::mail::Mail;
use super::mailbox::{FailedTry, Row, StoredMail, Tally, TryRow, Whose};
use crate::database::{Database, Schema};

/// The email service's tables.
pub const SCHEMA: Schema = Schema {
    prefix: "email_service_",
    migrated: "mails_migrations",
    sqlite: || sqlx::migrate!("src/email_service/migrations/sqlite"),
    postgres: || sqlx::migrate!("src/email_service/migrations/postgres"),
};

/// The repository of mails. All fail when the database does.
pub trait Mails: Database {
    /// Keeps a mail, in a transaction of the caller's: as delivered, or, where it is `for_smtp`, to be
    /// taken there once that has committed.
    fn add(
        &self,
        transaction: &mut Self::Connection,
        mail: &Mail,
        for_smtp: bool,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Mails in the order in which they were kept, the newest `limit` of them: all, or those `unsent`
    /// that SMTP has not taken, be it that they wait or were refused for good.
    fn mails(
        &self,
        whose: &Whose,
        unsent: bool,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredMail>, sqlx::Error>> + Send;

    /// Failed tries in their order, the newest `limit` of them.
    fn tries(
        &self,
        whose: &Whose,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<FailedTry>, sqlx::Error>> + Send;

    /// How much there is.
    fn tally(&self, whose: &Whose) -> impl Future<Output = Result<Tally, sqlx::Error>> + Send;

    /// Notes a try that failed.
    fn note(&self, failed: &FailedTry) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Takes a mail that waits for SMTP, the oldest that is due at `now`. Nobody else takes it before
    /// `until`; both are Unix milliseconds.
    fn take_due(
        &self,
        now: i64,
        until: i64,
    ) -> impl Future<Output = Result<Option<StoredMail>, sqlx::Error>> + Send;

    /// Says how a try to send it ended: sent, to be tried again at a time, or refused for good.
    fn tried(
        &self,
        number: i64,
        outcome: &Tried,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// How a try to send a mail ended.
#[derive(Debug)]
pub enum Tried {
    Sent,
    Later { at: i64, error: String },
    Refused { error: String },
}

/// The same statements for both databases: SQLite understands `$1` as well.
macro_rules! mails {
    ($store:ty, $connection:ty) => {
        impl Mails for $store {
            async fn add(
                &self,
                transaction: &mut $connection,
                mail: &Mail,
                for_smtp: bool,
            ) -> Result<(), sqlx::Error> {
                let now = Utc::now();
                sqlx::query(
                    "INSERT INTO mails (event_id, kind, user_id, recipient, domain, subject, body,
                         attempt, occurred_at, delivered_at, try_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                )
                .bind(&mail.event_id)
                .bind(mail.kind.name())
                .bind(mail.user_id)
                .bind(&mail.to)
                .bind(mail.domain())
                .bind(&mail.subject)
                .bind(&mail.body)
                .bind(i64::from(mail.attempt))
                .bind(mail.occurred_at)
                .bind((!for_smtp).then_some(now))
                .bind(for_smtp.then_some(now.timestamp_millis()))
                .execute(transaction)
                .await?;
                Ok(())
            }

            async fn mails(
                &self,
                whose: &Whose,
                unsent: bool,
                limit: u32,
            ) -> Result<Vec<StoredMail>, sqlx::Error> {
                let rows: Vec<Row> = sqlx::query_as(
                    "SELECT * FROM (SELECT * FROM mails
                         WHERE (user_id = $1 OR $1 IS NULL) AND (domain = $2 OR $2 IS NULL)
                           AND (delivered_at IS NULL OR NOT $4)
                         ORDER BY number DESC LIMIT $3) AS newest ORDER BY number",
                )
                .bind(whose.user_id)
                .bind(&whose.domain)
                .bind(i64::from(limit))
                .bind(unsent)
                .fetch_all(self.pool())
                .await?;
                rows.into_iter().map(Row::mail).collect()
            }

            async fn tries(
                &self,
                whose: &Whose,
                limit: u32,
            ) -> Result<Vec<FailedTry>, sqlx::Error> {
                let rows: Vec<TryRow> = sqlx::query_as(
                    "SELECT * FROM (SELECT * FROM mail_tries
                         WHERE (user_id = $1 OR $1 IS NULL) AND (domain = $2 OR $2 IS NULL)
                         ORDER BY number DESC LIMIT $3) AS newest ORDER BY number",
                )
                .bind(whose.user_id)
                .bind(&whose.domain)
                .bind(i64::from(limit))
                .fetch_all(self.pool())
                .await?;
                rows.into_iter().map(TryRow::failed).collect()
            }

            async fn tally(&self, whose: &Whose) -> Result<Tally, sqlx::Error> {
                let (mails, unsent): (i64, i64) = sqlx::query_as(
                    "SELECT count(*), count(*) - count(delivered_at) FROM mails
                     WHERE (user_id = $1 OR $1 IS NULL) AND (domain = $2 OR $2 IS NULL)",
                )
                .bind(whose.user_id)
                .bind(&whose.domain)
                .fetch_one(self.pool())
                .await?;
                let failed_tries: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM mail_tries
                     WHERE (user_id = $1 OR $1 IS NULL) AND (domain = $2 OR $2 IS NULL)",
                )
                .bind(whose.user_id)
                .bind(&whose.domain)
                .fetch_one(self.pool())
                .await?;
                Ok(Tally { mails, unsent, failed_tries })
            }

            async fn note(&self, failed: &FailedTry) -> Result<(), sqlx::Error> {
                sqlx::query(
                    "INSERT INTO mail_tries
                         (kind, user_id, recipient, domain, attempt, error, failed_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(failed.kind.name())
                .bind(failed.user_id)
                .bind(&failed.to)
                .bind(failed.domain())
                .bind(i64::from(failed.attempt))
                .bind(&failed.error)
                .bind(failed.failed_at)
                .execute(self.pool())
                .await?;
                Ok(())
            }

            async fn take_due(
                &self,
                now: i64,
                until: i64,
            ) -> Result<Option<StoredMail>, sqlx::Error> {
                // What somebody else has taken meanwhile is due no more: hence the condition twice.
                let row: Option<Row> = sqlx::query_as(
                    "UPDATE mails SET try_at = $2, tries = tries + 1
                     WHERE try_at <= $1 AND number =
                         (SELECT number FROM mails WHERE try_at <= $1 ORDER BY try_at LIMIT 1)
                     RETURNING *",
                )
                .bind(now)
                .bind(until)
                .fetch_optional(self.pool())
                .await?;
                row.map(Row::mail).transpose()
            }

            async fn tried(&self, number: i64, outcome: &Tried) -> Result<(), sqlx::Error> {
                let (delivered_at, try_at, error) = match outcome {
                    Tried::Sent => (Some(Utc::now()), None, None),
                    Tried::Later { at, error } => (None, Some(*at), Some(error)),
                    Tried::Refused { error } => (None, None, Some(error)),
                };
                sqlx::query(
                    "UPDATE mails SET delivered_at = $2, try_at = $3, error = $4 WHERE number = $1",
                )
                .bind(number)
                .bind(delivered_at)
                .bind(try_at)
                .bind(error)
                .execute(self.pool())
                .await?;
                Ok(())
            }
        }
    };
}

mails!(SqliteStore, SqliteConnection);
mails!(PostgresStore, PgConnection);
