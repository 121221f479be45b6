//! The statements of one relay's reading and marking.

use super::Sql;
use super::leases::LeaseSql;
use crate::store::Tables;

/// How often parked events were put back, and when the next delayed row is due.
const STATE: &str = "SELECT (SELECT sum(epoch) FROM {outbox_leases} \
         WHERE shard IN (SELECT value FROM json_each(?1))), \
     (SELECT publish_at - {now} FROM {outbox} WHERE publish_at IS NOT NULL \
         AND shard IN (SELECT value FROM json_each(?1)) ORDER BY publish_at LIMIT 1)";

const FETCH: &str = "SELECT id, shard, event_id, topic, key, headers, payload, made_at FROM {outbox} \
     WHERE id > ?1 AND publish_at IS NULL AND shard IN (SELECT value FROM json_each(?2)) \
       AND id NOT IN (SELECT value FROM json_each(?3)) \
     ORDER BY id LIMIT ?4";

/// Rows by number, of shards that are held.
const DELETE: &str = "DELETE FROM {outbox} WHERE id IN (SELECT value FROM json_each(?1)) \
     AND shard IN (SELECT value FROM json_each(?2))";
const KEEP: &str = "INSERT INTO {outbox_kept} (id, event_id, topic, key, headers, payload, made_at, \
         appended_at, published_at, keep_until) \
     SELECT id, event_id, topic, key, headers, payload, made_at, appended_at, {now}, {now} + ?3 \
     FROM {outbox} WHERE id IN (SELECT value FROM json_each(?1)) \
     AND shard IN (SELECT value FROM json_each(?2))";

const PARK: &str = "INSERT INTO {outbox_parked} (id, shard, event_id, topic, key, headers, payload, \
         made_at, appended_at, parked_at, reason) \
     SELECT id, shard, event_id, topic, key, headers, payload, made_at, appended_at, {now}, \
         CASE WHEN id = ?3 THEN ?4 END \
     FROM {outbox} WHERE id IN (SELECT value FROM json_each(?1)) \
     AND shard IN (SELECT value FROM json_each(?2))";

const PARKED_KEYS: &str = "SELECT DISTINCT l.shard, l.epoch, p.topic, p.key \
     FROM {outbox_leases} l LEFT JOIN {outbox_parked} p ON p.shard = l.shard AND p.key IS NOT NULL \
     WHERE l.shard IN (SELECT value FROM json_each(?1))";

/// A delayed row takes a new number when it is due, as if it were stored now.
const DUE: [&str; 2] = [
    "INSERT INTO {outbox} \
         (shard, event_id, topic, key, headers, payload, made_at, appended_at) \
     SELECT shard, event_id, topic, key, headers, payload, made_at, {now} FROM {outbox} \
     WHERE publish_at <= ?2 AND shard IN (SELECT value FROM json_each(?1)) \
     ORDER BY publish_at, id LIMIT ?3",
    "DELETE FROM {outbox} WHERE id IN (SELECT id FROM {outbox} \
     WHERE publish_at <= ?2 AND shard IN (SELECT value FROM json_each(?1)) \
     ORDER BY publish_at, id LIMIT ?3)",
];
const NOW: &str = "SELECT {now}";

const TIDY: &str = "DELETE FROM {outbox_kept} WHERE id IN ( \
     SELECT id FROM {outbox_kept} WHERE keep_until <= {now} ORDER BY keep_until LIMIT ?)";

pub(super) struct SessionSql {
    pub(super) state: Sql,
    pub(super) fetch: Sql,
    pub(super) delete: Sql,
    pub(super) keep: Sql,
    pub(super) park: Sql,
    pub(super) parked_keys: Sql,
    pub(super) due: [Sql; 2],
    pub(super) now: Sql,
    pub(super) tidy: Sql,
    pub(super) leases: LeaseSql,
}

impl SessionSql {
    pub(super) fn new(tables: &Tables) -> Self {
        let sql = |statement| Sql::new(tables, statement);
        Self {
            state: sql(STATE),
            fetch: sql(FETCH),
            delete: sql(DELETE),
            keep: sql(KEEP),
            park: sql(PARK),
            parked_keys: sql(PARKED_KEYS),
            due: DUE.map(sql),
            now: sql(NOW),
            tidy: sql(TIDY),
            leases: LeaseSql::new(tables),
        }
    }
}
