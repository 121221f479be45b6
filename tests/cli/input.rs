//! What needs no broker: help, completions, the configuration, and input that is wrong.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::run::*;

#[test]
fn without_a_command_there_is_help_and_an_exit_code_for_wrong_usage() {
    let ran = tidings(&[]);
    assert_eq!(ran.code, 2);
    for command in [
        "topics",
        "topic",
        "create-topic",
        "create-topics",
        "consume",
        "produce",
        "groups",
        "lag",
        "config",
        "check",
        "completions",
    ] {
        assert!(ran.err.contains(&format!("\n  {command} ")), "{}", ran.err);
    }
    let ran = tidings(&["--help"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for (arguments, what) in [
        (vec!["topic", "show", "not a topic"], "only letters, digits"),
        (vec!["consume", "t", "--from", "yesterday"], "write `earliest`"),
        (vec!["consume", "t", "--group", "g", "--from", "earliest"], "cannot be used with"),
        (vec!["create-topic", "t", "--partitions", "0"], "0 is not in 1.."),
        (vec!["produce", "t", "--header", "x"], "write `name=value`"),
        (vec!["topics", "--timeout", "5"], "the unit is missing"),
        (vec!["topics", "--timeout", "0s"], "no broker answers in no time"),
        (vec!["produce", "t", "--without-header", "x"], "goes with `--format json`"),
        (vec!["produce", "t", "--format", "json", "--key", "k"], "each line has its key"),
    ] {
        let ran = tidings(&arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.err.contains(what), "{}", ran.err);
    }
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(tidings(&["completions", shell]).ok().contains("create-topic"), "{shell}");
    }
}

#[test]
fn the_configuration_is_shown_with_its_origins_and_without_secrets() {
    let mut command =
        command(&["config", "--brokers", "b:1", "-X", "ssl.keystore.password=hunter2"]);
    command.env("KAFKA__PRODUCER__LINGER", "7ms").env("KAFKA__SASL__PASSWORD", "hunter2");
    command.env("KAFKA__SASL__USERNAME", "ada").env("KAFKA__SASL__MECHANISM", "PLAIN");
    command.env("KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT");
    let out = finish(command).ok();
    let text = stable(&out, &[]);
    for line in [
        "SETTING VALUE FROM VARIABLE",
        "service_name tidings code KAFKA__SERVICE_NAME",
        "bootstrap_servers b:1 code KAFKA__BOOTSTRAP_SERVERS",
        "producer.linger 7ms KAFKA__PRODUCER__LINGER KAFKA__PRODUCER__LINGER",
        "producer.acks all default KAFKA__PRODUCER__ACKS",
        "sasl.password (hidden) KAFKA__SASL__PASSWORD KAFKA__SASL__PASSWORD",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
    assert!(!out.contains("hunter2"));
    let json = tidings(&["config", "--brokers", "b:1", "--output", "json"]).json();
    let linger = json.as_array().unwrap().iter().find(|s| s["setting"] == "producer.linger");
    assert_eq!(linger.unwrap()["origin"], "default");
}

#[test]
fn a_variable_that_is_wrong_is_told_in_one_line() {
    let mut command = command(&["topics", "--brokers", "b:1"]);
    command.env("KAFKA__PRODUCER__LINGER", "soon").env("KAFKA__NO_SUCH", "1");
    let error = finish(command).fails(2);
    assert!(
        error.contains("KAFKA__PRODUCER__LINGER") && error.contains("KAFKA__NO_SUCH"),
        "{error}"
    );
}

#[test]
fn without_a_broker_every_command_says_which_option_names_one() {
    for arguments in [
        vec!["topics"],
        vec!["topic", "show", "t"],
        vec!["create-topic", "t"],
        vec!["consume", "t"],
        vec!["produce", "t"],
        vec!["groups"],
        vec!["lag"],
    ] {
        let error = tidings(&arguments).fails(2);
        assert!(
            error.contains("--brokers") && error.contains("KAFKA__BOOTSTRAP_SERVERS"),
            "{error}"
        );
    }
}

#[test]
fn a_broker_that_does_not_answer_is_an_error_of_its_own_in_the_time_that_was_given() {
    for arguments in [
        vec!["topics"],
        vec!["topic", "show", "t"],
        vec!["groups"],
        vec!["groups", "g"],
        vec!["lag"],
        vec!["lag", "g"],
        vec!["consume", "t"],
        vec!["consume", "t", "--group", "g"],
        vec!["produce", "t"],
        vec!["create-topic", "t"],
    ] {
        let began = Instant::now();
        let error =
            tidings(&[&["--brokers", "127.0.0.1:1", "--timeout", "2s"], &arguments[..]].concat());
        let error = error.fails(4);
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        let begin = "error: no answer from 127.0.0.1:1 within 2s: ";
        assert!(error.starts_with(begin), "{arguments:?}: {error}");
        assert!(error.ends_with("; `tidings check` says more"), "{arguments:?}: {error}");
    }
    let ran = tidings(&["--brokers", "127.0.0.1:1", "--timeout", "2s", "check"]);
    assert_eq!(ran.code, 4);
    assert!(ran.out.contains("FAILED") && ran.out.contains("127.0.0.1:1"), "{}", ran.out);
}

#[test]
fn a_file_that_is_missing_cut_off_or_no_json_is_told_before_a_broker_is_asked() {
    let produce = |path: &str, more: &[&str]| {
        let arguments = ["--brokers", "127.0.0.1:1", "produce", "t", "--file", path];
        tidings(&[&arguments, more].concat()).fails(2)
    };
    let error = produce("/no/such/file", &[]);
    assert!(error.contains("/no/such/file cannot be read"), "{error}");
    for (content, more, what) in [
        ("{}\n{\"a\": 1", &[][..], "line 2: the JSON is cut off"),
        ("{}\n\nhello\n", &[], "line 3: this is not JSON"),
        ("{\"id\":1}\n{\"no\":1}\n", &["--key-field", "id"], "line 2: it has no field \"id\""),
    ] {
        let file = file(content);
        let error = produce(file.to_str().unwrap(), more);
        std::fs::remove_file(file).unwrap();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn a_file_that_is_a_pipe_is_refused_with_what_to_do() {
    let arguments = ["--brokers", "127.0.0.1:1", "produce", "t", "--file"];
    let mut command = command(&[&arguments[..], &["/dev/stdin"]].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended before it is written to.
    let _ = child.stdin.take().unwrap().write_all(b"1\n2\n");
    let error = ended(child.wait_with_output().unwrap()).fails(2);
    let directory = env!("CARGO_TARGET_TMPDIR");
    for (error, path) in [
        (error, "/dev/stdin"),
        (tidings(&[&arguments[..], &[directory]].concat()).fails(2), directory),
    ] {
        assert!(error.contains(&format!("{path} is no regular file")), "{error}");
        assert!(error.contains("standard input"), "{error}");
    }
}

#[test]
fn a_key_that_no_message_can_have_is_told_before_a_broker_is_asked() {
    let produce = |more: &[&str]| {
        tidings(&[&["--brokers", "127.0.0.1:1", "produce", "t"], more].concat()).fails(2)
    };
    let error = produce(&["--key", ""]);
    assert!(error.contains("--key: a message's key must not be empty"), "{error}");
    let file = file("{\"id\":\"a\"}\n{\"id\":\"\"}\n");
    let error = produce(&["--key-field", "id", "--file", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
    assert!(error.contains("line 2: its field \"id\": a message's key must not be"), "{error}");
}
