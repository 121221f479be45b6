//! Users in SQLite.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use uuid::Uuid;

use super::domain::{Email, FullName, InvalidValue, User, UserState};

/// Statements that bring an empty or older database up to date. Each runs once, in order; the last
/// thing it does is to say its number.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE users (
        id           BLOB    NOT NULL PRIMARY KEY,
        email        TEXT    NOT NULL UNIQUE,
        full_name    TEXT    NOT NULL,
        active       INTEGER NOT NULL,
        created_at   TEXT    NOT NULL,
        last_seen_at TEXT    NOT NULL,
        version      INTEGER NOT NULL
    ) STRICT;
    PRAGMA user_version = 1;
"];

/// The repository of users. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Users(SqlitePool);

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

impl Users {
    /// Opens a database, `sqlite:users.db` or `sqlite::memory:`, and brings it up to date. A file
    /// that is not there is made.
    ///
    /// # Errors
    /// When the address is none, or the database cannot be opened or changed.
    pub async fn open(url: &str) -> Result<Self, sqlx::Error> {
        let memory = url.contains(":memory:");
        let mut options = url
            .parse::<SqliteConnectOptions>()?
            .create_if_missing(true)
            .busy_timeout(Duration::from_secs(5));
        let mut pool = SqlitePoolOptions::new().max_connections(4);
        if memory {
            // Such a database lives and dies with its one connection.
            pool = pool.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
        } else {
            options = options.journal_mode(SqliteJournalMode::Wal);
        }
        let users = Self(pool.connect_with(options).await?);
        users.migrate().await?;
        Ok(users)
    }

    async fn migrate(&self) -> Result<(), sqlx::Error> {
        // One writer at a time, so that two processes that start together do not both migrate.
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
        let done: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
        for migration in MIGRATIONS.into_iter().skip(usize::try_from(done).unwrap_or(0)) {
            sqlx::raw_sql(migration).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// Stores a new user.
    ///
    /// # Errors
    /// When the address is taken or the database fails.
    pub async fn add(&self, user: &User) -> Result<(), StoreError> {
        let user = user.state();
        sqlx::query(
            "INSERT INTO users (id, email, full_name, active, created_at, last_seen_at, version)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(user.id)
        .bind(user.email.as_str())
        .bind(user.full_name.as_str())
        .bind(user.active)
        .bind(user.created_at)
        .bind(user.last_seen_at)
        .bind(user.version)
        .execute(&self.0)
        .await?;
        Ok(())
    }

    /// Stores a changed user, provided that nobody else did since it was read.
    ///
    /// # Errors
    /// When somebody did, or the database fails.
    pub async fn save(&self, user: &User) -> Result<(), StoreError> {
        let user = user.state();
        let stored = sqlx::query(
            "UPDATE users SET full_name = ?, active = ?, last_seen_at = ?, version = version + 1
             WHERE id = ? AND version = ?",
        )
        .bind(user.full_name.as_str())
        .bind(user.active)
        .bind(user.last_seen_at)
        .bind(user.id)
        .bind(user.version)
        .execute(&self.0)
        .await?;
        if stored.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// One user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, id: Uuid) -> Result<Option<User>, StoreError> {
        let row: Option<Row> = sqlx::query_as("SELECT * FROM users WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.0)
            .await?;
        row.map(Row::user).transpose()
    }

    /// Users in the order in which they signed up, after `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<User>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as("SELECT * FROM users WHERE id > ? ORDER BY id LIMIT ?")
            .bind(after.unwrap_or(Uuid::nil()))
            .bind(limit)
            .fetch_all(&self.0)
            .await?;
        rows.into_iter().map(Row::user).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(email: &str) -> User {
        User::register(Email::new(email).unwrap(), FullName::new("Ada").unwrap(), Utc::now())
    }

    #[tokio::test]
    async fn a_user_is_read_as_it_was_stored() {
        let users = Users::open("sqlite::memory:").await.unwrap();
        let ada = user("ada@example.org");
        users.add(&ada).await.unwrap();
        assert_eq!(users.find(ada.state().id).await.unwrap().unwrap().state(), ada.state());
        assert_eq!(users.list(None, 10).await.unwrap().len(), 1);
        assert!(users.list(Some(ada.state().id), 10).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_address_belongs_to_one_user() {
        let users = Users::open("sqlite::memory:").await.unwrap();
        users.add(&user("ada@example.org")).await.unwrap();
        let again = users.add(&user("ADA@example.org")).await;
        assert!(matches!(again, Err(StoreError::EmailTaken)), "{again:?}");
    }

    #[tokio::test]
    async fn the_second_of_two_writers_is_told() {
        let users = Users::open("sqlite::memory:").await.unwrap();
        let ada = user("ada@example.org");
        users.add(&ada).await.unwrap();
        let id = ada.state().id;
        let mut one = users.find(id).await.unwrap().unwrap();
        let mut other = users.find(id).await.unwrap().unwrap();
        one.deactivate();
        other.rename(FullName::new("Ada Lovelace").unwrap(), Utc::now()).unwrap();
        users.save(&one).await.unwrap();
        assert!(matches!(users.save(&other).await, Err(StoreError::Conflict)));
    }

    #[tokio::test]
    async fn a_file_is_opened_again_with_what_it_held() {
        let file = std::env::temp_dir().join(format!("users-{}.db", Uuid::now_v7()));
        let url = format!("sqlite://{}", file.display());
        let ada = user("ada@example.org");
        Users::open(&url).await.unwrap().add(&ada).await.unwrap();
        assert!(Users::open(&url).await.unwrap().find(ada.state().id).await.unwrap().is_some());
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
        }
    }
}
