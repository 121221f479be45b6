//! From a user to a mail: through both services and the broker between them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tidings::transport::kafka::EmbeddedBroker;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{Running, settings};

async fn sign_up(users: &Running, email: &str) -> String {
    let body = json!({ "email": email, "full_name": "Ada Lovelace" });
    let (status, user) = users.ask(Method::POST, "/users", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED);
    user["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_is_greeted_and_in_the_end_taken_leave_of() {
    let (broker, settings) = (EmbeddedBroker::start().unwrap(), settings(&[]));
    let users = Running::users(&settings, &broker).await;
    let mails = Running::mails(&settings, &broker).await;
    let id = sign_up(&users, "ada@example.org").await;
    let other = sign_up(&users, "grace@example.org").await;
    // Neither a name nor a sign of life is a reason for a mail.
    let name = json!({ "full_name": "Ada Byron" });
    assert!(users.ask(Method::PATCH, &format!("/users/{id}"), Some(name)).await.0.is_success());
    assert!(users.ask(Method::DELETE, &format!("/users/{id}"), None).await.0.is_success());

    let path = format!("/mails?user_id={id}");
    let sent = mails.get_until(&path, |mails| mails.as_array().unwrap().len() == 2).await;
    assert_eq!((&sent[0]["kind"], &sent[1]["kind"]), (&json!("welcome"), &json!("goodbye")));
    assert_eq!(sent[0]["subject"], json!("Welcome, Ada Lovelace"));
    assert_eq!(sent[1]["subject"], json!("Goodbye, Ada Byron"));
    let path = format!("/mails?user_id={other}");
    mails.get_until(&path, |mails| mails.as_array().unwrap().len() == 1).await;
    assert_eq!(mails.get("/mails/count").await, json!({ "mails": 3, "failed_tries": 0 }));
}

#[tokio::test]
async fn a_mailbox_that_fails_for_a_while_gets_its_mail_from_a_tier() {
    let broker = EmbeddedBroker::start().unwrap();
    let settings = settings(&[
        ("EMAIL_SERVICE__FAULTS", "true"),
        ("KAFKA__FAILURE__RETRY_TIERS", "1s,2s"),
        ("KAFKA__FAILURE__IMMEDIATE_RETRIES", "0"),
    ]);
    let users = Running::users(&settings, &broker).await;
    let mails = Running::mails(&settings, &broker).await;
    sign_up(&users, "flaky-ada@example.org").await;
    let sent = mails.get_until("/mails", |mails| mails != &json!([])).await;
    let attempt = sent[0]["attempt"].as_u64().unwrap();
    assert!(attempt > 1, "{sent}");
    let failed = mails.get("/mails/failed").await;
    let attempts: Vec<_> =
        failed.as_array().unwrap().iter().map(|failed| &failed["attempt"]).collect();
    assert_eq!(
        attempts,
        (1..attempt).map(Value::from).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn with_an_smtp_server_mails_go_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let smtp = format!("smtp://{}", listener.local_addr().unwrap());
    let mut received = smtp_server(listener);
    let broker = EmbeddedBroker::start().unwrap();
    let settings = settings(&[("SMTP_URL", &smtp)]);
    let users = Running::users(&settings, &broker).await;
    let mails = Running::mails(&settings, &broker).await;
    sign_up(&users, "ada@example.org").await;
    let mail = received.recv().await.unwrap();
    assert!(mail.contains("RCPT TO:<ada@example.org>"), "{mail}");
    assert!(mail.contains("Subject: Welcome, Ada Lovelace"), "{mail}");
    assert_eq!(mails.get("/mails").await, Value::Array(Vec::new()));
}

#[tokio::test]
async fn while_the_smtp_server_is_away_mails_wait_and_take_no_attempt() {
    // A port that nobody listens on, for now.
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let broker = EmbeddedBroker::start().unwrap();
    let settings = settings(&[
        ("SMTP_URL", &format!("smtp://{address}")),
        // One attempt more than none would be a dead letter.
        ("KAFKA__FAILURE__RETRY_TIERS", "none"),
    ]);
    let users = Running::users(&settings, &broker).await;
    let mails = Running::mails(&settings, &broker).await;
    sign_up(&users, "ada@example.org").await;
    mails.get_until("/mails/failed", |failed| failed.as_array().unwrap().len() > 1).await;
    let mut received = smtp_server(TcpListener::bind(address).await.unwrap());
    let mail = received.recv().await.unwrap();
    assert!(mail.contains("RCPT TO:<ada@example.org>"), "{mail}");
    let failed = mails.get("/mails/failed").await;
    assert!(failed.as_array().unwrap().iter().all(|failed| failed["attempt"] == json!(1)));
}

/// As much of an SMTP server as a mail takes. Tells what it was told, mail by mail.
fn smtp_server(listener: TcpListener) -> mpsc::UnboundedReceiver<String> {
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
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
