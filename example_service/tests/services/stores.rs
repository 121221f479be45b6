//! Users and mails are stored and read, in SQLite and in PostgreSQL.

use std::time::Duration;

use chrono::{DateTime, Utc};
use example_service::database::{Database, Place};
use example_service::email_service::{self, FailedTry, Mail, MailKind, Mails, Tally, Tried, Whose};
use example_service::user_service::domain::{Email, FullName, User};
use example_service::user_service::{self, StoreError, Users};
use futures::future::join_all;
use tidings::store::postgres::PostgresStore;
use tidings::store::sqlite::SqliteStore;
use uuid::Uuid;

use crate::stage::OwnDatabase;

/// Each of these in both databases.
macro_rules! in_both {
    ($schema:expr; $($test:ident),+) => {$(
        mod $test {
            use super::*;

            #[tokio::test]
            async fn in_sqlite() {
                let place = Place::of(None).unwrap();
                super::$test(SqliteStore::connect(place.url(), &$schema).await.unwrap()).await;
            }

            #[tokio::test]
            async fn in_postgresql() {
                let Some(database) = OwnDatabase::make().await else { return };
                super::$test(PostgresStore::connect(&database.url, &$schema).await.unwrap()).await;
                database.remove().await;
            }
        }
    )+};
}

in_both!(user_service::SCHEMA;
    a_user_is_read_as_it_was_stored,
    an_address_belongs_to_one_user,
    the_second_of_two_writers_is_told);

in_both!(email_service::SCHEMA;
    a_mail_is_read_as_it_was_kept,
    of_many_senders_each_takes_mails_of_its_own,
    a_mail_waits_until_it_is_due_and_is_sent_or_refused_for_good);

fn user(email: &str) -> User {
    User::register(Email::new(email).unwrap(), FullName::new("Ada").unwrap(), now())
}

/// As exact as a database keeps it.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(Utc::now().timestamp_micros()).unwrap()
}

async fn add<S: Users>(users: &S, user: &User) -> Result<(), StoreError> {
    let mut transaction = users.writer().await?;
    users.add(&mut transaction, user).await?;
    users.commit(transaction).await.unwrap();
    Ok(())
}

async fn a_user_is_read_as_it_was_stored<S: Users>(users: S) {
    let ada = user("ada@example.org");
    add(&users, &ada).await.unwrap();
    let mut connection = users.reader().await.unwrap();
    let found = users.find(&mut connection, ada.state().id).await.unwrap().unwrap();
    assert_eq!(found.state(), ada.state());
    for (after, email, count) in [
        (None, None, 1),
        (Some(ada.state().id), None, 0),
        (None, Some("ada@example.org"), 1),
        (None, Some("grace@example.org"), 0),
    ] {
        let email = email.map(|email| Email::new(email).unwrap());
        let listed = users.list(&mut connection, after, email.as_ref(), 10).await.unwrap();
        assert_eq!(listed.len(), count, "{after:?} {email:?}");
    }
}

async fn an_address_belongs_to_one_user<S: Users>(users: S) {
    add(&users, &user("ada@example.org")).await.unwrap();
    let again = add(&users, &user("ADA@example.org")).await;
    assert!(matches!(again, Err(StoreError::EmailTaken)), "{again:?}");
}

async fn the_second_of_two_writers_is_told<S: Users>(users: S) {
    let ada = user("ada@example.org");
    add(&users, &ada).await.unwrap();
    let id = ada.state().id;
    let (mut one, mut other) = {
        let mut connection = users.reader().await.unwrap();
        let one = users.find(&mut connection, id).await.unwrap().unwrap();
        (one, users.find(&mut connection, id).await.unwrap().unwrap())
    };
    one.deactivate();
    other.rename(FullName::new("Ada Lovelace").unwrap(), now()).unwrap();
    let mut first = users.writer().await.unwrap();
    users.save(&mut first, &one).await.unwrap();
    // It waits for the first one to end.
    let second = async {
        let mut second = users.writer().await?;
        users.save(&mut second, &other).await
    };
    let (told, committed) = tokio::join!(second, users.commit(first));
    committed.unwrap();
    assert!(matches!(told, Err(StoreError::Conflict)), "{told:?}");
}

fn mail(number: u32) -> Mail {
    Mail {
        event_id: Uuid::now_v7().to_string(),
        kind: MailKind::Welcome,
        user_id: Uuid::now_v7(),
        to: format!("user-{number}@run.example.org"),
        subject: "Welcome".into(),
        body: "Hello".into(),
        attempt: 1,
        occurred_at: now(),
    }
}

async fn keep<S: Mails>(mails: &S, mail: &Mail, for_smtp: bool) {
    let mut transaction = mails.writer().await.unwrap();
    mails.add(&mut transaction, mail, for_smtp).await.unwrap();
    mails.commit(transaction).await.unwrap();
}

async fn a_mail_is_read_as_it_was_kept<S: Mails>(mails: S) {
    let (kept, waits) = (mail(1), mail(2));
    keep(&mails, &kept, false).await;
    keep(&mails, &waits, true).await;
    let all = mails.mails(&Whose::default(), false, 10).await.unwrap();
    assert_eq!([&all[0].mail, &all[1].mail], [&kept, &waits]);
    assert_eq!(
        all.iter().map(|mail| mail.delivered_at.is_some()).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(mails.mails(&Whose::default(), true, 10).await.unwrap(), [all[1].clone()]);
    assert_eq!(mails.mails(&Whose::default(), false, 1).await.unwrap(), [all[1].clone()]);
    let failed = FailedTry { failed_at: now(), ..FailedTry::now(&waits, 3, "away".into()) };
    mails.note(&failed).await.unwrap();
    let domain = |domain: &str| Whose { domain: Some(domain.into()), ..Whose::default() };
    for (whose, listed) in [
        (Whose { user_id: Some(waits.user_id), ..Whose::default() }, vec![all[1].clone()]),
        (domain("run.example.org"), all.clone()),
        (domain("example.org"), Vec::new()),
    ] {
        assert_eq!(mails.mails(&whose, false, 10).await.unwrap(), listed, "{whose:?}");
        let (count, unsent) = (listed.len() as i64, i64::from(!listed.is_empty()));
        let tally = Tally { mails: count, unsent, failed_tries: unsent };
        assert_eq!(mails.tally(&whose).await.unwrap(), tally, "{whose:?}");
    }
    assert_eq!(mails.tries(&domain("run.example.org"), 10).await.unwrap(), [failed]);
}

async fn of_many_senders_each_takes_mails_of_its_own<S: Mails>(mails: S) {
    for number in 0..20 {
        keep(&mails, &mail(number), true).await;
    }
    let now = Utc::now().timestamp_millis();
    let sender = async || {
        let mut taken = Vec::new();
        while let Some(mail) = mails.take_due(now, now + 60_000).await.unwrap() {
            taken.push(mail.number);
        }
        taken
    };
    // On PostgreSQL one that is turned away by another's mail may leave early.
    let mut taken = join_all((0..4).map(|_| sender())).await.concat();
    taken.extend(sender().await);
    taken.sort_unstable();
    assert_eq!(taken, (1..=20).collect::<Vec<_>>());
}

async fn a_mail_waits_until_it_is_due_and_is_sent_or_refused_for_good<S: Mails>(mails: S) {
    keep(&mails, &mail(1), true).await;
    let now = Utc::now().timestamp_millis();
    let minute = Duration::from_secs(60).as_millis() as i64;
    let take = async |now: i64| mails.take_due(now, now + minute).await.unwrap();
    let taken = take(now).await.unwrap();
    assert_eq!((taken.tries, take(now).await), (1, None));
    // Nobody said how it went, so it is taken once more.
    let taken = take(now + minute).await.unwrap();
    assert_eq!(taken.tries, 2);
    let later = Tried::Later { at: now + 5 * minute, error: "not now".into() };
    mails.tried(taken.number, &later).await.unwrap();
    assert_eq!(take(now + 4 * minute).await, None);
    let taken = take(now + 5 * minute).await.unwrap();
    assert_eq!((taken.tries, taken.error.as_deref()), (3, Some("not now")));
    for (outcome, delivered, error) in [
        (Tried::Refused { error: "never".into() }, false, Some("never")),
        (Tried::Sent, true, None),
    ] {
        mails.tried(taken.number, &outcome).await.unwrap();
        assert_eq!(take(now + 100 * minute).await, None);
        let mail = &mails.mails(&Whose::default(), false, 1).await.unwrap()[0];
        assert_eq!((mail.delivered_at.is_some(), mail.error.as_deref()), (delivered, error));
    }
}
