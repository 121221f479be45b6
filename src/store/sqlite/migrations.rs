//! The tables, version by version, and how a database is brought up to date.

use sqlx::{AssertSqlSafe, Row, SqliteConnection, SqlitePool};

use super::{WRITE, at};
use crate::store::{Migration, StoreError, Tables};

/// Each is run once, in order, in one transaction with those that are missing beside it.
const STEPS: [(&str, &str); 2] = [
    ("the outbox", include_str!("migrations/1_outbox.sql")),
    ("the inbox", include_str!("migrations/2_inbox.sql")),
];

/// The version that this release works with.
const NEEDED: i32 = STEPS.len() as i32;

pub(super) fn migrations(tables: &Tables) -> Vec<Migration> {
    let first = "CREATE TABLE {migrations} (\n    \
                 version INTEGER PRIMARY KEY,\n    \
                 applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP\n) STRICT;\n";
    (1..)
        .zip(STEPS)
        .map(|(version, (name, sql))| {
            let first = if version == 1 { first } else { "" };
            let done = format!("INSERT INTO {{migrations}} (version) VALUES ({version});\n");
            let sql = [first, sql, &done].map(|sql| tables.fill(sql)).concat();
            Migration { version, name, sql }
        })
        .collect()
}

pub(super) async fn migrate(pool: &SqlitePool, tables: &Tables) -> Result<(), StoreError> {
    let run = async {
        // One writer at a time, so that two processes that start together do not both migrate.
        let mut transaction = pool.begin_with(WRITE).await?;
        let done = version(&mut transaction, tables).await?;
        for step in migrations(tables).into_iter().filter(|step| step.version > done) {
            sqlx::raw_sql(AssertSqlSafe(step.sql)).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    };
    run.await.map_err(StoreError::database("bring its tables up to date"))
}

/// Whether the tables are those of this release, or of a later one that still serves it.
pub(super) async fn check(pool: &SqlitePool, tables: &Tables) -> Result<(), StoreError> {
    let asked = async {
        let mut connection = pool.acquire().await?;
        version(&mut connection, tables).await
    };
    let found = asked.await.map_err(StoreError::database("say which tables it has"))?;
    match found < NEEDED {
        true => Err(StoreError::Version { found, needed: NEEDED }),
        false => Ok(()),
    }
}

async fn version(connection: &mut SqliteConnection, tables: &Tables) -> Result<i32, sqlx::Error> {
    let name = tables.fill("{migrations}");
    let there = sqlx::query("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?")
        .bind(name.trim_matches('"'))
        .fetch_one(&mut *connection)
        .await?;
    if at::<i64>(&there, 0)? == 0 {
        return Ok(0);
    }
    let version = tables.fill("SELECT coalesce(max(version), 0) FROM {migrations}");
    sqlx::query(AssertSqlSafe(version)).fetch_one(connection).await?.try_get(0)
}
