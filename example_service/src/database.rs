//! A service's database: SQLite, or PostgreSQL where `DATABASE_URL` says so. The rest of the service
//! is written once, over what both have.

use std::fmt;
use std::future::Future;
use std::ops::DerefMut;
use std::time::Duration;

use serde::Serialize;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Postgres, Sqlite};
use tempfile::TempDir;
use tidings::error::BoxError;
use tidings::mediator::Context;
use tidings::store::postgres::PostgresStore;
use tidings::store::sqlite::SqliteStore;
use tidings::store::{InboxTables, NoTransaction, OutboxStore, OutboxTables, Tables};

/// How long a statement waits for another writer of an SQLite database.
const BUSY: Duration = Duration::from_secs(5);

/// What a service has in its database. Two services may share one: their tables have other names.
pub struct Schema {
    /// What the names of Tidings' tables begin with.
    pub prefix: &'static str,
    /// The table that says which migrations were run.
    pub migrated: &'static str,
    /// The service's own tables.
    pub sqlite: fn() -> Migrator,
    pub postgres: fn() -> Migrator,
}

/// What the services need of a database, beside what Tidings needs.
pub trait Database: OutboxTables + OutboxStore + InboxTables {
    /// A connection of the pool.
    type Pooled: DerefMut<Target = Self::Connection> + Send;

    /// Opens the database and brings its tables up to date.
    fn connect(url: &str, schema: &Schema) -> impl Future<Output = Result<Self, BoxError>> + Send;

    /// A connection to read with.
    fn reader(&self) -> impl Future<Output = Result<Self::Pooled, sqlx::Error>> + Send;

    /// A transaction to write in.
    fn writer(&self) -> impl Future<Output = Result<Self::Transaction, sqlx::Error>> + Send;
}

impl Database for SqliteStore {
    type Pooled = PoolConnection<Sqlite>;

    async fn connect(url: &str, schema: &Schema) -> Result<Self, BoxError> {
        let options = url
            .parse::<SqliteConnectOptions>()?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY);
        let mut pool = SqlitePoolOptions::new().max_connections(4);
        if url.contains(":memory:") {
            // Such a database lives and dies with its one connection.
            pool = pool.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
        }
        let pool = pool.connect_with(options).await?;
        let mut own = (schema.sqlite)();
        own.dangerous_set_table_name(schema.migrated);
        own.run(&pool).await?;
        let store = Self::with_tables(pool, Tables::new().prefix(schema.prefix)?)?;
        store.migrate().await?;
        Ok(store)
    }

    async fn reader(&self) -> Result<Self::Pooled, sqlx::Error> {
        self.pool().acquire().await
    }

    async fn writer(&self) -> Result<Self::Transaction, sqlx::Error> {
        // A transaction that began by reading could be turned away when it comes to write.
        self.pool().begin_with("BEGIN IMMEDIATE").await
    }
}

impl Database for PostgresStore {
    type Pooled = PoolConnection<Postgres>;

    async fn connect(url: &str, schema: &Schema) -> Result<Self, BoxError> {
        let pool = PgPoolOptions::new().max_connections(16).connect(url).await?;
        let mut own = (schema.postgres)();
        own.dangerous_set_table_name(schema.migrated);
        own.run(&pool).await?;
        let store = Self::with_tables(pool, Tables::new().prefix(schema.prefix)?);
        store.migrate().await?;
        Ok(store)
    }

    async fn reader(&self) -> Result<Self::Pooled, sqlx::Error> {
        self.pool().acquire().await
    }

    async fn writer(&self) -> Result<Self::Transaction, sqlx::Error> {
        self.pool().begin().await
    }
}

/// The transaction that a request is handled in, whoever opened it.
///
/// # Errors
/// When nobody did.
pub fn transaction<S: Database>(cx: &mut Context) -> Result<&mut S::Connection, NoTransaction> {
    Ok(&mut **cx.get_mut::<S::Transaction>().ok_or(NoTransaction)?)
}

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kind {
    #[serde(rename = "SQLite")]
    Sqlite,
    #[serde(rename = "PostgreSQL")]
    Postgres,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// Where a database is.
#[derive(Debug)]
pub struct Place {
    url: String,
    kind: Kind,
    /// Removed with the database in it.
    temporary: Option<TempDir>,
}

impl Place {
    /// The database at this address, or a file of its own that is gone when this is dropped.
    ///
    /// # Errors
    /// When the address is of another database, or there is no room for a file.
    pub fn of(url: Option<&str>) -> Result<Self, BoxError> {
        let Some(url) = url else {
            let folder = tempfile::Builder::new().prefix("tidings-example-").tempdir()?;
            let url = sqlite_file(&folder.path().join("service.db"));
            return Ok(Self { url, kind: Kind::Sqlite, temporary: Some(folder) });
        };
        let kind = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Kind::Sqlite,
            Some("postgres" | "postgresql") => Kind::Postgres,
            // The address may hold a password, so it is not shown.
            _ => {
                let forms = "sqlite:users.db or postgres://user:password@host/database";
                return Err(format!("DATABASE_URL has neither of the forms {forms}").into());
            }
        };
        Ok(Self { url: url.to_owned(), kind, temporary: None })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// For people; without what an address may hold that is nobody's business.
    pub fn description(&self) -> String {
        match (self.kind, &self.temporary) {
            (Kind::Postgres, _) => "PostgreSQL, at DATABASE_URL".into(),
            (Kind::Sqlite, None) => self.url.clone(),
            (Kind::Sqlite, Some(_)) => {
                "SQLite, in a file that is removed at the end; DATABASE_URL=sqlite:all.db keeps one"
                    .into()
            }
        }
    }
}

/// The address of an SQLite database.
pub fn sqlite_file(file: &std::path::Path) -> String {
    format!("sqlite://{}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_database_is_refused_and_not_shown() {
        for url in ["mysql://me:secret@host/db", "users.db", ""] {
            let error = Place::of(Some(url)).unwrap_err().to_string();
            assert!(error.contains("DATABASE_URL") && !error.contains("secret"), "{error}");
        }
        assert_eq!(Place::of(Some("sqlite:users.db")).unwrap().kind(), Kind::Sqlite);
        let place = Place::of(Some("postgres://me:secret@host/db")).unwrap();
        assert_eq!(place.kind(), Kind::Postgres);
        assert!(!place.description().contains("secret"));
    }

    #[test]
    fn a_database_that_nobody_asked_to_keep_is_gone_in_the_end() {
        let place = Place::of(None).unwrap();
        let folder = place.temporary.as_ref().unwrap().path().to_owned();
        assert!(folder.is_dir());
        drop(place);
        assert!(!folder.exists());
    }
}
