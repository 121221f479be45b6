//! Who works on which shards: leases in the database's time, each under a fencing token.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Row;

use super::Sql;
use super::session::{LEASES, PostgresSession, lock};
use crate::store::{Holding, SHARDS, Shard, Tables};

/// Which database this is: another after a fail-over, a restore, or when its tables were made anew. Then its
/// rows have numbers that other rows had before, and what a relay knew says nothing of it.
pub(super) const WHICH: &str = "concat_ws('/', extract(epoch FROM pg_postmaster_start_time()), \
     '{outbox}'::regclass::oid)";

/// Says that a relay lives; answers how many do. Those that are over are forgotten.
const LIVE: &str = "WITH over AS (\
         DELETE FROM {outbox_relays} WHERE expires_at <= clock_timestamp() AND relay <> $1), \
     me AS (INSERT INTO {outbox_relays} (relay, expires_at) \
         VALUES ($1, clock_timestamp() + $2::bigint * interval '1 microsecond') \
         ON CONFLICT (relay) DO UPDATE SET expires_at = excluded.expires_at) \
     SELECT 1 + count(*), {which} FROM {outbox_relays} \
     WHERE relay <> $1 AND expires_at > clock_timestamp()";

/// As long as nobody else took it, a lease that is over can go on.
const RENEW: &str = "UPDATE {outbox_leases} l \
     SET expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond' \
     FROM (SELECT l.shard FROM {outbox_leases} l \
         JOIN unnest($1::smallint[], $2::bigint[]) AS h(shard, token) \
           ON l.shard = h.shard AND l.token = h.token \
         ORDER BY l.shard FOR NO KEY UPDATE OF l) AS mine \
     WHERE l.shard = mine.shard RETURNING l.shard";

/// A lease that somebody is just marking rows under is left for the next time. What is this relay's own, and
/// it does not know of, nobody else has.
const TAKE: &str = "UPDATE {outbox_leases} l SET owner = $1, token = l.token + 1, \
         expires_at = clock_timestamp() + $2::bigint * interval '1 microsecond' \
     FROM (SELECT shard FROM {outbox_leases} \
         WHERE expires_at <= clock_timestamp() OR owner = $1 AND shard <> ALL ($4::smallint[]) \
         ORDER BY shard LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) AS free \
     WHERE l.shard = free.shard RETURNING l.shard, l.token";

const GIVE_UP: &str = "WITH given AS (UPDATE {outbox_leases} l \
     SET owner = NULL, expires_at = '-infinity' \
     FROM (SELECT l.shard FROM {outbox_leases} l \
         JOIN unnest($1::smallint[], $2::bigint[]) AS h(shard, token) \
           ON l.shard = h.shard AND l.token = h.token \
         ORDER BY l.shard FOR NO KEY UPDATE OF l) AS mine \
     WHERE l.shard = mine.shard RETURNING l.shard) \
     SELECT pg_notify($3, $4) FROM (SELECT count(*) FROM given) AS n";

const LEAVE: &str = "WITH gone AS (DELETE FROM {outbox_relays} WHERE relay = $1) \
     SELECT pg_notify($2, $3)";

const COME: &str = "SELECT pg_notify($1, $2)";

pub(super) struct LeaseSql {
    live: Sql,
    renew: Sql,
    take: Sql,
    give_up: Sql,
    leave: Sql,
    come: Sql,
}

impl LeaseSql {
    pub(super) fn new(tables: &Tables) -> Self {
        let sql = |statement| Sql::new(tables, statement);
        Self {
            live: Sql::new(tables, &LIVE.replace("{which}", WHICH)),
            renew: sql(RENEW),
            take: sql(TAKE),
            give_up: sql(GIVE_UP),
            leave: sql(LEAVE),
            come: sql(COME),
        }
    }
}

/// What a relay holds, as it was told last.
#[derive(Default)]
pub(super) struct Held {
    tokens: BTreeMap<i16, i64>,
    /// How often parked events of a shard had been put back when its parked keys were asked for.
    pub(super) epochs: BTreeMap<i16, i64>,
    /// In which database.
    pub(super) which: String,
    /// The others know that this relay is there.
    announced: bool,
}

impl Held {
    /// The tokens of these shards, by number; of the others, and of what is not held, none that there is.
    pub(super) fn tokens(&self, shards: impl Iterator<Item = Shard>) -> Vec<i64> {
        let mut tokens = vec![-1; SHARDS.unsigned_abs().into()];
        for number in shards.map(Shard::number) {
            if let Some(token) = self.tokens.get(&number) {
                tokens[usize::from(number.unsigned_abs())] = *token;
            }
        }
        tokens
    }

    fn all(&self) -> (Vec<i16>, Vec<i64>) {
        self.tokens.iter().map(|(shard, token)| (*shard, *token)).unzip()
    }

    pub(super) fn fence(&self, shard: Shard) -> Option<(i64, i64)> {
        let number = shard.number();
        Some((*self.tokens.get(&number)?, *self.epochs.get(&number)?))
    }

    /// The sum of the epochs of these shards; `None` where one of them is not known.
    pub(super) fn epoch(&self, shards: &[Shard]) -> Option<i64> {
        shards.iter().map(|shard| self.epochs.get(&shard.number())).sum()
    }

    fn forget(&mut self, shard: i16) {
        self.tokens.remove(&shard);
        self.epochs.remove(&shard);
    }
}

impl PostgresSession {
    pub(super) async fn renewed(&self, lease: Duration) -> Result<Holding, sqlx::Error> {
        let micros = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        let sql = &self.sql.leases;
        let live = sqlx::query(sql.live.safe()).bind(&self.relay).bind(micros);
        let live = live.fetch_one(&self.pool).await?;
        let (live, which): (i64, String) = (live.try_get(0)?, live.try_get(1)?);
        let live = u64::try_from(live).unwrap_or(1).max(1);
        let fair =
            usize::try_from(u64::from(SHARDS.unsigned_abs()).div_ceil(live)).unwrap_or(usize::MAX);
        let (shards, tokens) = {
            let mut held = lock(&self.held);
            if held.which != which {
                // What was held in another database is nothing in this one.
                lock(&self.cursor).restart();
                *held = Held { which, announced: held.announced, ..Held::default() };
            }
            held.all()
        };
        let renew = sqlx::query(sql.renew.safe()).bind(&shards).bind(tokens).bind(micros);
        let mut kept = Vec::new();
        for row in renew.fetch_all(&self.pool).await? {
            kept.push(row.try_get::<i16, _>(0)?);
        }
        for lost in shards.iter().filter(|shard| !kept.contains(shard)) {
            lock(&self.held).forget(*lost);
        }
        let mut taken = Vec::new();
        if let Some(room) = fair.checked_sub(kept.len()).filter(|room| *room > 0) {
            let room = i64::try_from(room).unwrap_or(i64::MAX);
            let take = sqlx::query(sql.take.safe()).bind(&self.relay).bind(micros).bind(room);
            let take = take.bind(&kept);
            for row in take.fetch_all(&self.pool).await? {
                let (shard, token) = (row.try_get(0)?, row.try_get(1)?);
                let mut held = lock(&self.held);
                held.forget(shard);
                held.tokens.insert(shard, token);
                taken.push(shard);
            }
        }
        if !std::mem::replace(&mut lock(&self.held).announced, true) {
            let come = sqlx::query(sql.come.safe()).bind(&self.channel).bind(LEASES);
            come.execute(&self.pool).await?;
        }
        let numbered =
            |shards: &[i16]| shards.iter().copied().filter_map(Shard::numbered).collect();
        kept.extend(&taken);
        kept.sort_unstable();
        Ok(Holding { shards: numbered(&kept), taken: numbered(&taken), fair })
    }

    pub(super) async fn given_up(&self, shards: &[Shard]) -> Result<(), sqlx::Error> {
        let (shards, tokens): (Vec<_>, Vec<_>) = {
            let mut held = lock(&self.held);
            let given = shards.iter().map(|shard| shard.number());
            let given: Vec<_> =
                given.filter_map(|shard| Some((shard, *held.tokens.get(&shard)?))).collect();
            given.iter().for_each(|(shard, _)| held.forget(*shard));
            given.into_iter().unzip()
        };
        let give_up = sqlx::query(self.sql.leases.give_up.safe());
        let give_up = give_up.bind(shards).bind(tokens).bind(&self.channel).bind(LEASES);
        give_up.execute(&self.pool).await.map(drop)
    }

    pub(super) async fn left(&self) -> Result<(), sqlx::Error> {
        let leave = sqlx::query(self.sql.leases.leave.safe());
        leave.bind(&self.relay).bind(&self.channel).bind(LEASES).execute(&self.pool).await.map(drop)
    }
}
