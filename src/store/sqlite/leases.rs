//! Who works on which shards: leases in the database's time, each under a fencing token.

use std::collections::BTreeMap;
use std::time::Duration;

use super::session::{SqliteSession, lock};
use super::{Sql, WRITE, at};
use crate::store::{Holding, SHARDS, Shard, Tables};

const FORGET: &str = "DELETE FROM {outbox_relays} WHERE expires_at <= {now} AND relay <> ?1";
const LIVE: &str = "INSERT INTO {outbox_relays} (relay, expires_at) VALUES (?1, {now} + ?2) \
     ON CONFLICT (relay) DO UPDATE SET expires_at = excluded.expires_at";
const COUNT: &str = "SELECT count(*) FROM {outbox_relays}";
/// As long as nobody else took it, a lease that is over can go on.
const RENEW: &str =
    "UPDATE {outbox_leases} SET expires_at = {now} + ?3 WHERE shard = ?1 AND token = ?2";
const FREE: &str =
    "SELECT shard FROM {outbox_leases} WHERE expires_at <= {now} ORDER BY shard LIMIT ?1";
const TAKE: &str = "UPDATE {outbox_leases} SET owner = ?1, token = token + 1, expires_at = {now} + ?2 \
     WHERE shard = ?3 RETURNING token";
const GIVE_UP: &str = "UPDATE {outbox_leases} SET owner = NULL, expires_at = 0 \
     WHERE shard = ?1 AND token = ?2";
const LEAVE: &str = "DELETE FROM {outbox_relays} WHERE relay = ?1";
const TOKENS: &str = "SELECT shard, token FROM {outbox_leases}";
const FENCE: &str = "SELECT 1 FROM {outbox_leases} WHERE shard = ?1 AND token = ?2 AND epoch = ?3";

pub(super) struct LeaseSql {
    forget: Sql,
    live: Sql,
    count: Sql,
    renew: Sql,
    free: Sql,
    take: Sql,
    give_up: Sql,
    leave: Sql,
    pub(super) tokens: Sql,
    pub(super) fence: Sql,
}

impl LeaseSql {
    pub(super) fn new(tables: &Tables) -> Self {
        let sql = |statement| Sql::new(tables, statement);
        Self {
            forget: sql(FORGET),
            live: sql(LIVE),
            count: sql(COUNT),
            renew: sql(RENEW),
            free: sql(FREE),
            take: sql(TAKE),
            give_up: sql(GIVE_UP),
            leave: sql(LEAVE),
            tokens: sql(TOKENS),
            fence: sql(FENCE),
        }
    }
}

/// What a relay holds, as it was told last.
#[derive(Default)]
pub(super) struct Held {
    tokens: BTreeMap<i16, i64>,
    /// How often parked events of a shard had been put back when its parked keys were asked for.
    pub(super) epochs: BTreeMap<i16, i64>,
    /// The others know that this relay is there.
    announced: bool,
}

impl Held {
    /// Shards and their tokens; those that are not held are left out.
    pub(super) fn tokens(&self, shards: impl Iterator<Item = Shard>) -> BTreeMap<i16, i64> {
        let held = |shard: Shard| Some((shard.number(), *self.tokens.get(&shard.number())?));
        shards.filter_map(held).collect()
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

impl SqliteSession {
    pub(super) async fn renewed(&self, lease: Duration) -> Result<Holding, sqlx::Error> {
        let millis = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 2);
        let sql = &self.sql.leases;
        let mut transaction = self.pool().begin_with(WRITE).await?;
        sqlx::query(sql.forget.safe()).bind(&self.relay).execute(&mut *transaction).await?;
        let live = sqlx::query(sql.live.safe()).bind(&self.relay).bind(millis);
        live.execute(&mut *transaction).await?;
        let live = sqlx::query(sql.count.safe()).fetch_one(&mut *transaction).await?;
        let live = at::<i64>(&live, 0)?.max(1).unsigned_abs();
        let fair = u64::from(SHARDS.unsigned_abs()).div_ceil(live);
        let fair = usize::try_from(fair).unwrap_or(usize::MAX);
        let (mut kept, mut lost, mut taken) = (Vec::new(), Vec::new(), BTreeMap::new());
        let tokens = lock(&self.held).tokens.clone();
        for (shard, token) in tokens {
            let renew = sqlx::query(sql.renew.safe()).bind(shard).bind(token).bind(millis);
            match renew.execute(&mut *transaction).await?.rows_affected() {
                0 => lost.push(shard),
                _ => kept.push(shard),
            }
        }
        let room = i64::try_from(fair.saturating_sub(kept.len())).unwrap_or(i64::MAX);
        for row in sqlx::query(sql.free.safe()).bind(room).fetch_all(&mut *transaction).await? {
            let shard: i16 = at(&row, 0)?;
            let take = sqlx::query(sql.take.safe()).bind(&self.relay).bind(millis).bind(shard);
            let token = take.fetch_one(&mut *transaction).await?;
            taken.insert(shard, at::<i64>(&token, 0)?);
        }
        transaction.commit().await?;
        let numbered = |shards: &mut dyn Iterator<Item = i16>| {
            shards.filter_map(Shard::numbered).collect::<Vec<_>>()
        };
        let news = {
            let mut held = lock(&self.held);
            lost.iter().chain(taken.keys()).for_each(|shard| held.forget(*shard));
            held.tokens.extend(&taken);
            !std::mem::replace(&mut held.announced, true)
        };
        if news {
            self.tell_leases();
        }
        kept.retain(|shard| !taken.contains_key(shard));
        kept.extend(taken.keys());
        kept.sort_unstable();
        let shards = numbered(&mut kept.into_iter());
        Ok(Holding { shards, taken: numbered(&mut taken.into_keys()), fair })
    }

    pub(super) async fn given_up(&self, shards: &[Shard]) -> Result<(), sqlx::Error> {
        let tokens = {
            let mut held = lock(&self.held);
            let tokens = held.tokens(shards.iter().copied());
            tokens.keys().for_each(|shard| held.forget(*shard));
            tokens
        };
        let mut transaction = self.pool().begin_with(WRITE).await?;
        for (shard, token) in tokens {
            let give_up = sqlx::query(self.sql.leases.give_up.safe()).bind(shard).bind(token);
            give_up.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        self.tell_leases();
        Ok(())
    }

    pub(super) async fn left(&self) -> Result<(), sqlx::Error> {
        let leave = sqlx::query(self.sql.leases.leave.safe()).bind(&self.relay);
        leave.execute(self.pool()).await?;
        self.tell_leases();
        Ok(())
    }

    fn tell_leases(&self) {
        self.store.0.told.send_modify(|(_, leases)| *leases += 1);
    }
}
