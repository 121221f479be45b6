//! The end of the services in one process, on the embedded broker, as an operator sees it.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Kills a process that did not end in time, so that nobody waits for it.
fn watch(child: &Child) -> mpsc::Sender<()> {
    let (ended, ends) = mpsc::channel();
    let pid = child.id().to_string();
    std::thread::spawn(move || {
        if ends.recv_timeout(Duration::from_secs(120)) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
    });
    ended
}

/// Signs somebody up; answers the response.
fn sign_up(address: &str) -> String {
    let body = r#"{"email":"ada@example.org","full_name":"Ada Lovelace"}"#;
    let mut connection = TcpStream::connect(address).unwrap();
    let (length, kind) = (body.len(), "application/json");
    write!(
        connection,
        "POST /users HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn a_clean_end_of_all_services_warns_of_nothing() {
    // What was warned of depended on which thread was the last.
    for round in 1..=4 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_example_service"));
        for name in ["KAFKA__BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"] {
            command.env_remove(name);
        }
        for service in ["USER", "EMAIL", "REPORT"] {
            command.env(format!("{service}_SERVICE__HTTP_ADDRESS"), "127.0.0.1:0");
        }
        // A slow statement on a busy machine is not what this is about.
        command.env("RUST_LOG", "warn,sqlx=error").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _in_time = watch(&child);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.find(|line| line.trim().starts_with("user service")).unwrap();
        let (_, address) = said.split_once("http://").unwrap();
        assert!(lines.any(|line| line.contains("Ctrl-C ends this")), "it is ready");
        let response = sign_up(address.trim());
        assert!(response.starts_with("HTTP/1.1 201"), "{response}");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "round {round}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "round {round}");
    }
}
