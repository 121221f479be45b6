//! The statements of one relay's reading and marking.

use super::Sql;
use super::leases::{LeaseSql, WHICH};
use crate::store::Tables;

/// Shards are bits of one number, and known rows a hashed subquery: as arrays, both would be searched
/// from end to end for each row. The first line says in which database and which snapshot the others were
/// read, the last id that was taken, how often parked events were put back, and when the next delayed row
/// is due. See `cursor.rs` for where the reading begins.
const FETCH: &str = "WITH since AS MATERIALIZED (SELECT least($7::bigint, coalesce((\
         SELECT max(m.id) FROM unnest($4::text[]::xid8[], $5::bigint[]) AS m(xid, id) \
         WHERE m.xid <= (SELECT x FROM (\
             SELECT pg_snapshot_xmax($6::text::pg_snapshot) AS x UNION ALL \
             SELECT x FROM pg_snapshot_xip($6::text::pg_snapshot) AS x \
             WHERE pg_visible_in_snapshot(x, pg_current_snapshot())) AS ended \
             ORDER BY x LIMIT 1)\
     ), 0)) AS id) \
     SELECT 0::bigint AS id, 0::smallint AS shard, \
            concat_ws(' ', {which}, pg_current_snapshot()::text, \
                coalesce(CASE WHEN has_sequence_privilege('{outbox_id}', 'USAGE, SELECT') \
                    THEN pg_sequence_last_value('{outbox_id}'::regclass) END, 0), \
                (SELECT sum(epoch) FROM {outbox_leases} WHERE ($1::bigint >> shard) & 1 = 1), \
                (SELECT ceil(extract(epoch FROM publish_at - clock_timestamp()) * 1000)::bigint \
                 FROM {outbox} WHERE publish_at IS NOT NULL AND ($1::bigint >> shard) & 1 = 1 \
                 ORDER BY publish_at LIMIT 1)) AS event_id, \
            '' AS topic, NULL::bytea AS key, NULL::bytea AS headers, NULL::bytea AS payload, \
            0::bigint AS made_at \
     UNION ALL (\
     SELECT id, shard, event_id, topic, key, headers, payload, made_at FROM {outbox} \
     WHERE id > (SELECT id FROM since) AND ($1::bigint >> shard) & 1 = 1 AND publish_at IS NULL \
       AND id NOT IN (SELECT k FROM unnest($2::bigint[]) AS k WHERE k > (SELECT id FROM since)) \
     ORDER BY id LIMIT $3)";

/// Who holds a lease locks it, so that nobody takes it before this is done. In order, as all lock them.
const HELD: &str = "WITH held AS MATERIALIZED (\
     SELECT shard FROM {outbox_leases} WHERE token = ($1::bigint[])[shard + 1] AND $2 = {which} \
     ORDER BY shard FOR SHARE)";
/// Not as a join, which may look the rows up anew for each lease.
const GONE: &str = "gone AS (DELETE FROM {outbox} \
     WHERE id = ANY($3::bigint[]) AND shard = ANY(ARRAY(SELECT shard FROM held)) RETURNING";
const KEPT: &str = "kept AS (INSERT INTO {outbox_kept} \
     (id, event_id, topic, key, headers, payload, made_at, appended_at, keep_until) \
     SELECT id, event_id, topic, key, headers, payload, made_at, appended_at, \
            clock_timestamp() + $4::bigint * interval '1 microsecond' FROM gone)";
const MARKED: &str = "SELECT coalesce((SELECT array_agg(shard) FROM held), '{}'), \
     (SELECT count(*) FROM gone), pg_current_xact_id()::text";

const PARK: &str = "WITH held AS MATERIALIZED (\
     SELECT shard FROM {outbox_leases} \
         WHERE shard = $1 AND token = $2 AND epoch = $3 AND $7 = {which} FOR SHARE), \
     gone AS (DELETE FROM {outbox} \
         WHERE id = ANY($4::bigint[]) AND shard = ANY(ARRAY(SELECT shard FROM held)) RETURNING *), \
     parked AS (INSERT INTO {outbox_parked} \
         (id, shard, event_id, topic, key, headers, payload, made_at, appended_at, reason) \
         SELECT id, shard, event_id, topic, key, headers, payload, made_at, appended_at, \
                CASE WHEN id = $5 THEN $6::text END FROM gone) \
     SELECT count(*) FROM held";

const PARKED_KEYS: &str = "SELECT DISTINCT l.shard, l.epoch, p.topic, p.key \
     FROM {outbox_leases} l LEFT JOIN {outbox_parked} p ON p.shard = l.shard AND p.key IS NOT NULL \
     WHERE l.shard = ANY($1::smallint[])";

/// A delayed row takes a new id when it is due, as if it were stored now. The time is the statement's, which
/// an index can be asked for.
const DUE: &str = "due AS (DELETE FROM {outbox} WHERE id = ANY(ARRAY( \
         SELECT id FROM {outbox} WHERE publish_at <= statement_timestamp() \
         AND shard = ANY(ARRAY(SELECT shard FROM held)) \
         ORDER BY publish_at, id LIMIT $3)) RETURNING *) \
     INSERT INTO {outbox} (shard, event_id, topic, key, headers, payload, made_at, appended_at) \
     SELECT shard, event_id, topic, key, headers, payload, made_at, clock_timestamp() \
     FROM due ORDER BY publish_at, id";

const TIDY: &str = "DELETE FROM {outbox_kept} WHERE id = ANY(ARRAY( \
     SELECT id FROM {outbox_kept} WHERE keep_until <= statement_timestamp() \
     ORDER BY keep_until LIMIT $1 FOR UPDATE SKIP LOCKED))";

pub(super) struct SessionSql {
    pub(super) fetch: Sql,
    pub(super) published: Sql,
    pub(super) published_kept: Sql,
    pub(super) park: Sql,
    pub(super) parked_keys: Sql,
    pub(super) due: Sql,
    pub(super) tidy: Sql,
    pub(super) leases: LeaseSql,
}

impl SessionSql {
    pub(super) fn new(tables: &Tables) -> Self {
        let sql = |statement: &str| Sql::new(tables, &statement.replace("{which}", WHICH));
        Self {
            fetch: sql(FETCH),
            published: sql(&format!("{HELD}, {GONE} id) {MARKED}")),
            published_kept: sql(&format!("{HELD}, {GONE} *), {KEPT} {MARKED}")),
            park: sql(PARK),
            parked_keys: sql(PARKED_KEYS),
            due: sql(&format!("{HELD}, {DUE}")),
            tidy: sql(TIDY),
            leases: LeaseSql::new(tables),
        }
    }
}
