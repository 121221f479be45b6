//! From a user to a mail: through both services and the broker between them.

use std::time::Duration;

use axum::http::Method;
use example_contracts::{UserCreated, UserDeactivated, UserRenamed};
use example_service::email_service::{self, FailedTry, MailKind, Mails, StoredMail, Whose};
use serde_json::json;
use tidings::testing::TestKit;
use tidings::web::Health;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::shared::SOON;
use crate::stage::{Mailbox, TIERS, ask, get, mails, sign_up, users};

const FAULTS: (&str, &str) = ("EMAIL_SERVICE__FAULTS", "true");

#[tokio::test]
async fn a_user_is_greeted_and_in_the_end_taken_leave_of() {
    let kit = TestKit::new();
    let users = users(&kit).await;
    let mailbox = mails(&kit, &[]).await;
    let ada = format!("/users/{}", sign_up(&users, "ada@example.org").await);
    sign_up(&users, "grace@example.org").await;
    // Neither a name nor a sign of life is a reason for a mail.
    let name = json!({ "full_name": "Ada Byron" });
    assert!(ask(&users, Method::PATCH, &ada, Some(name)).await.0.is_success());
    assert!(ask(&users, Method::DELETE, &ada, None).await.0.is_success());
    kit.settled().await;

    kit.expect::<UserCreated>().published(2).handled_by("welcome", 2).retried_after("welcome", []);
    kit.expect::<UserRenamed>().published(1).dead_lettered(0, "");
    kit.expect::<UserDeactivated>().published(1).handled_by("goodbye", 1);
    let sent = mailbox.all().await;
    let to_ada: Vec<_> = sent.iter().filter(|sent| sent.mail.to == "ada@example.org").collect();
    assert_eq!(
        to_ada.iter().map(|sent| sent.mail.kind).collect::<Vec<_>>(),
        [MailKind::Welcome, MailKind::Goodbye]
    );
    assert_eq!(to_ada[0].mail.subject, "Welcome, Ada Lovelace");
    assert_eq!(to_ada[1].mail.subject, "Goodbye, Ada Byron");
    let listed =
        get(&email_service::router(mailbox.mails, Health::default()), "/mails/count").await;
    assert_eq!(listed, json!({ "mails": 3, "unsent": 0, "failed_tries": 0 }));
}

#[tokio::test]
async fn a_mailbox_that_fails_for_a_while_gets_exactly_one_mail_from_a_tier() {
    let kit = TestKit::new();
    let users = users(&kit).await;
    let mailbox = mails(&kit, &[FAULTS]).await;
    sign_up(&users, "flaky-ada@example.org").await;
    kit.settled().await;
    kit.expect::<UserCreated>()
        .handled_by("welcome", 1)
        .retried_after("welcome", [TIERS[0]])
        .dead_lettered(0, "");
    let sent = mailbox.all().await;
    assert_eq!(sent.iter().map(|sent| sent.mail.attempt).collect::<Vec<_>>(), [2]);
    let failed = failed_tries(&mailbox, 1).await;
    assert!(failed.iter().all(|failed| failed.attempt == 1), "{failed:?}");
}

#[tokio::test]
async fn a_mailbox_that_never_takes_a_mail_makes_a_dead_letter_and_holds_up_nobody() {
    let kit = TestKit::new();
    let users = users(&kit).await;
    let mailbox = mails(&kit, &[FAULTS]).await;
    sign_up(&users, "broken-ada@example.org").await;
    sign_up(&users, "grace@example.org").await;
    kit.settled().await;
    kit.expect::<UserCreated>()
        .matching(|user| user.email.starts_with("broken-"))
        .handled_by("welcome", 0)
        .retried_after("welcome", TIERS)
        .dead_lettered(1, "the mailbox did not take the mail this time");
    let sent = mailbox.all().await;
    let to: Vec<_> = sent.iter().map(|sent| sent.mail.to.as_str()).collect();
    assert_eq!(to, ["grace@example.org"]);
}

#[tokio::test]
async fn with_an_smtp_server_mails_are_kept_and_go_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let smtp = format!("smtp://{}", listener.local_addr().unwrap());
    let mut received = smtp_server(listener, 0);
    let kit = TestKit::new();
    let users = users(&kit).await;
    let mailbox = mails(&kit, &[("SMTP_URL", &smtp)]).await;
    sign_up(&users, "ada@example.org").await;
    let mail = received.recv().await.unwrap();
    assert!(mail.contains("RCPT TO:<ada@example.org>"), "{mail}");
    assert!(mail.contains("Subject: Welcome, Ada Lovelace"), "{mail}");
    let sent = sent_mails(&mailbox, 1).await;
    assert!(mail.contains(&sent[0].mail.event_id), "{mail}");
    assert_eq!((sent[0].tries, &sent[0].error), (1, &None));
}

#[tokio::test]
async fn while_the_smtp_server_is_away_mails_wait_and_their_tries_are_listed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let smtp = format!("smtp://{}", listener.local_addr().unwrap());
    let kit = TestKit::new();
    let users = users(&kit).await;
    let mailbox = mails(&kit, &[("SMTP_URL", &smtp)]).await;
    sign_up(&users, "ada@example.org").await;
    kit.settled().await;
    kit.expect::<UserCreated>().handled_by("welcome", 1).retried_after("welcome", []);
    let service = email_service::router(mailbox.mails.clone(), Health::default());
    let unsent = get(&service, "/mails/unsent").await;
    assert_eq!(
        (&unsent[0]["to"], &unsent[0]["delivered_at"]),
        (&json!("ada@example.org"), &json!(null))
    );
    // It hangs up on the first two.
    let mut received = smtp_server(listener, 2);
    let mail = received.recv().await.unwrap();
    assert!(mail.contains("RCPT TO:<ada@example.org>"), "{mail}");
    assert_eq!(sent_mails(&mailbox, 1).await[0].tries, 3);
    let failed = failed_tries(&mailbox, 2).await;
    assert_eq!(failed.iter().map(|failed| failed.attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(get(&service, "/mails/unsent").await, json!([]));
}

/// Failed tries, once so many are written down.
async fn failed_tries(mailbox: &Mailbox, count: usize) -> Vec<FailedTry> {
    until(
        async || mailbox.mails.tries(&Whose::default(), 100).await.unwrap(),
        |tries| tries.len() >= count,
    )
    .await
}

/// Mails, once so many have been delivered.
async fn sent_mails(mailbox: &Mailbox, count: usize) -> Vec<StoredMail> {
    let sent =
        |mails: &[StoredMail]| mails.iter().filter(|mail| mail.delivered_at.is_some()).count();
    until(async || mailbox.all().await, |mails| sent(mails) >= count).await
}

async fn until<T>(look: impl AsyncFn() -> Vec<T>, holds: impl Fn(&[T]) -> bool) -> Vec<T> {
    let waited = async {
        loop {
            let seen = look().await;
            if holds(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, waited).await.expect("it did not come to be")
}

/// As much of an SMTP server as a mail takes, once it has hung up on so many clients. Tells what it
/// was told, mail by mail.
fn smtp_server(listener: TcpListener, hangs_up: usize) -> mpsc::UnboundedReceiver<String> {
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for _ in 0..hangs_up {
            drop(listener.accept().await);
        }
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                let (mut said, mut in_mail) = (String::new(), false);
                write.write_all(b"220 here\r\n").await.unwrap();
                while let Ok(Some(line)) = lines.next_line().await {
                    said.push_str(&line);
                    said.push('\n');
                    let answer: &[u8] = match (in_mail, line.as_str()) {
                        (true, ".") => {
                            in_mail = false;
                            let _ = tell.send(std::mem::take(&mut said));
                            b"250 taken\r\n"
                        }
                        (true, _) => continue,
                        (false, "DATA") => {
                            in_mail = true;
                            b"354 go on\r\n"
                        }
                        (false, "QUIT") => b"221 bye\r\n",
                        (false, _) => b"250 fine\r\n",
                    };
                    if write.write_all(answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    told
}
