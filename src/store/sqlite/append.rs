//! Storing events: few statements for many, in whatever transaction the caller is in.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::Sql;
use crate::store::{NewEvent, Tables};

/// Events of one statement: each has eight values, and a statement takes 32,766.
const MOST: usize = 1_000;

const APPEND: &str = "INSERT INTO {outbox} \
     (shard, event_id, topic, key, headers, payload, made_at, publish_at, appended_at) VALUES ";
const EVENT: &str = "(?, ?, ?, ?, ?, ?, ?, ?, {now})";

pub(super) struct AppendSql {
    begin: String,
    event: Sql,
    one: Sql,
}

impl AppendSql {
    pub(super) fn new(tables: &Tables) -> Self {
        Self {
            begin: tables.fill(APPEND),
            event: Sql::new(tables, EVENT),
            one: Sql::new(tables, &format!("{APPEND}{EVENT}")),
        }
    }

    pub(super) async fn append(
        &self,
        connection: &mut SqliteConnection,
        mut events: Vec<NewEvent>,
        publish_at: Option<DateTime<Utc>>,
    ) -> Result<(), sqlx::Error> {
        let publish_at = publish_at.map(|at| at.timestamp_millis());
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(MOST));
            let mut query = match events.len() {
                1 => sqlx::query(self.one.safe()),
                count => {
                    let values = vec![&*self.event.0; count].join(", ");
                    // A statement for each number of events is not worth keeping.
                    sqlx::query(AssertSqlSafe(self.begin.clone() + &values)).persistent(false)
                }
            };
            for NewEvent { id, shard, record, made_at } in events {
                query = query
                    .bind(shard.number())
                    .bind(id.to_string())
                    .bind(record.topic.as_str().to_owned())
                    .bind(record.key.map(Vec::from))
                    .bind(record.headers.as_bytes().to_vec())
                    .bind(record.payload.map(Vec::from))
                    .bind(made_at)
                    .bind(publish_at);
            }
            query.execute(&mut *connection).await?;
            events = rest;
        }
        Ok(())
    }
}
