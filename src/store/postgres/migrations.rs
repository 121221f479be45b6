//! The tables, version by version, and how a database is brought up to date.

use sqlx::{AssertSqlSafe, PgPool, Row};

use super::READ_COMMITTED;
use crate::store::{Migration, StoreError, Tables};

/// Each is run once, in order, in one transaction with those that are missing beside it.
const STEPS: [(&str, &str); 2] = [
    ("the outbox", include_str!("migrations/1_outbox.sql")),
    ("the inbox", include_str!("migrations/2_inbox.sql")),
];

/// The version that this release works with.
pub(super) const NEEDED: i32 = STEPS.len() as i32;

/// Two services that start together must not both migrate: whoever has this lock does.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";

pub(super) fn migrations(tables: &Tables) -> Vec<Migration> {
    (1..)
        .zip(STEPS)
        .map(|(version, (name, sql))| {
            let mut sql = tables.fill(sql);
            if version == 1 {
                sql = format!("{}{sql}", first(tables));
            }
            let done = tables.fill("INSERT INTO {migrations} (version) VALUES");
            Migration { version, name, sql: format!("{sql}{done} ({version});\n") }
        })
        .collect()
}

/// What must be there before the first step can say that it was done.
fn first(tables: &Tables) -> String {
    let schema = match tables.schema_name() {
        Some(_) => tables.fill("CREATE SCHEMA IF NOT EXISTS {schema};\n"),
        None => String::new(),
    };
    let table = "CREATE TABLE {migrations} (\n    \
                 version int PRIMARY KEY,\n    \
                 applied_at timestamptz NOT NULL DEFAULT now()\n);\n";
    schema + &tables.fill(table)
}

pub(super) async fn migrate(pool: &PgPool, tables: &Tables) -> Result<(), StoreError> {
    let run = async {
        // What others have made while this waited for the lock is to be seen, whatever the default.
        let mut transaction = pool.begin_with(READ_COMMITTED).await?;
        sqlx::query(LOCK).bind(format!("tidings {tables}")).execute(&mut *transaction).await?;
        let done = version(&mut transaction, tables).await?;
        for step in migrations(tables).into_iter().filter(|step| step.version > done) {
            sqlx::raw_sql(AssertSqlSafe(step.sql)).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    };
    run.await.map_err(StoreError::database("bring its tables up to date"))
}

/// Whether the tables are those of this release, or of a later one that still serves it.
pub(super) async fn check(pool: &PgPool, tables: &Tables) -> Result<(), StoreError> {
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

async fn version(connection: &mut sqlx::PgConnection, tables: &Tables) -> Result<i32, sqlx::Error> {
    // Reading a table makes the session hear of what others have made while it waited for the lock: a
    // look-up by name alone may answer from what it remembers.
    let there =
        sqlx::query("SELECT to_regclass($1) IS NOT NULL FROM pg_catalog.pg_namespace LIMIT 1")
            .bind(tables.fill("{migrations}"))
            .fetch_one(&mut *connection)
            .await?;
    if !there.try_get::<bool, _>(0)? {
        return Ok(0);
    }
    let version = tables.fill("SELECT coalesce(max(version), 0) FROM {migrations}");
    sqlx::query(AssertSqlSafe(version)).fetch_one(connection).await?.try_get(0)
}
