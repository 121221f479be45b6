//! Users in the service's database.

use std::future::Future;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, SqliteConnection};
use tidings::store::postgres::PostgresStore;
use tidings::store::sqlite::SqliteStore;
use uuid::Uuid;

use super::domain::{Email, FullName, InvalidValue, User, UserState};
use crate::database::{Database, Schema};

/// The user service's tables.
pub const SCHEMA: Schema = Schema {
    prefix: "user_service_",
    migrated: "users_migrations",
    sqlite: || sqlx::migrate!("src/user_service/migrations/sqlite"),
    postgres: || sqlx::migrate!("src/user_service/migrations/postgres"),
};

/// The repository of users. What writes does so in a transaction of the caller's.
pub trait Users: Database {
    /// Stores a new user.
    ///
    /// # Errors
    /// When the address is taken or the database fails.
    fn add(
        &self,
        transaction: &mut Self::Connection,
        user: &User,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Stores a changed user, provided that nobody else did since it was read.
    ///
    /// # Errors
    /// When somebody did, or the database fails.
    fn save(
        &self,
        transaction: &mut Self::Connection,
        user: &User,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// One user.
    ///
    /// # Errors
    /// When the database fails.
    fn find(
        &self,
        connection: &mut Self::Connection,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<User>, StoreError>> + Send;

    /// Users in the order in which they signed up, after `after`; with an address, the one who has it.
    ///
    /// # Errors
    /// When the database fails.
    fn list(
        &self,
        connection: &mut Self::Connection,
        after: Option<Uuid>,
        email: Option<&Email>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<User>, StoreError>> + Send;
}

/// A user was not stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another user has this address.
    #[error("another user has this email address")]
    EmailTaken,
    /// Someone else changed the user since it was read: read it again and retry.
    #[error("the user was changed by someone else meanwhile")]
    Conflict,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// What is stored is not a user: written by hand, or by a newer release.
    #[error("a stored user cannot be read")]
    Unreadable(#[from] InvalidValue),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(database) if database.is_unique_violation() => Self::EmailTaken,
            _ => Self::Database(error),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    email: String,
    full_name: String,
    active: bool,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    version: i64,
}

impl Row {
    fn user(self) -> Result<User, StoreError> {
        let Self { id, email, full_name, active, created_at, last_seen_at, version } = self;
        let (email, full_name) = (Email::new(&email)?, FullName::new(&full_name)?);
        Ok(User::restore(UserState {
            id,
            email,
            full_name,
            active,
            created_at,
            last_seen_at,
            version,
        }))
    }
}

/// The same statements for both databases: SQLite understands `$1` as well.
macro_rules! users {
    ($store:ty, $connection:ty) => {
        impl Users for $store {
            async fn add(
                &self,
                transaction: &mut $connection,
                user: &User,
            ) -> Result<(), StoreError> {
                let user = user.state();
                sqlx::query("INSERT INTO users VALUES ($1, $2, $3, $4, $5, $6, $7)")
                    .bind(user.id)
                    .bind(user.email.as_str())
                    .bind(user.full_name.as_str())
                    .bind(user.active)
                    .bind(user.created_at)
                    .bind(user.last_seen_at)
                    .bind(user.version)
                    .execute(transaction)
                    .await?;
                Ok(())
            }

            async fn save(
                &self,
                transaction: &mut $connection,
                user: &User,
            ) -> Result<(), StoreError> {
                let user = user.state();
                // Who changes the same user waits here until this transaction ends: so the events of
                // one user are stored in the order in which they happened.
                let stored = sqlx::query(
                    "UPDATE users SET full_name = $1, active = $2, last_seen_at = $3,
                     version = version + 1 WHERE id = $4 AND version = $5",
                )
                .bind(user.full_name.as_str())
                .bind(user.active)
                .bind(user.last_seen_at)
                .bind(user.id)
                .bind(user.version)
                .execute(transaction)
                .await?;
                if stored.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict) }
            }

            async fn find(
                &self,
                connection: &mut $connection,
                id: Uuid,
            ) -> Result<Option<User>, StoreError> {
                let row: Option<Row> = sqlx::query_as("SELECT * FROM users WHERE id = $1")
                    .bind(id)
                    .fetch_optional(connection)
                    .await?;
                row.map(Row::user).transpose()
            }

            async fn list(
                &self,
                connection: &mut $connection,
                after: Option<Uuid>,
                email: Option<&Email>,
                limit: u32,
            ) -> Result<Vec<User>, StoreError> {
                let rows: Vec<Row> = sqlx::query_as(
                    "SELECT * FROM users WHERE id > $1 AND (email = $2 OR $2 IS NULL)
                     ORDER BY id LIMIT $3",
                )
                .bind(after.unwrap_or(Uuid::nil()))
                .bind(email.map(Email::as_str))
                .bind(i64::from(limit))
                .fetch_all(connection)
                .await?;
                rows.into_iter().map(Row::user).collect()
            }
        }
    };
}

users!(SqliteStore, SqliteConnection);
users!(PostgresStore, PgConnection);
