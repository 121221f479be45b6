//! What the check must catch and what it must leave alone, planted into a small tree.

use std::collections::BTreeMap;

use super::tree::check;

/// A small tree with one more file in it.
fn planted(file: &str, text: &str) -> Vec<String> {
    let mut files: BTreeMap<String, String> = [
        ("lib.rs", "pub mod event; pub mod mapper; pub mod telemetry; pub mod transport; pub mod web;\npub use event::Envelope;"),
        ("event.rs", "pub struct Envelope;"),
        ("mapper/mod.rs", "mod rules; mod planted;"),
        ("mapper/rules.rs", "use crate::event::Envelope; use super::planted::Rule;"),
        ("mapper/planted.rs", "pub struct Rule;"),
        ("telemetry.rs", "#[macro_export]\nmacro_rules! span { () => { ::tracing::info_span!(\"x\") }; }"),
        ("transport/mod.rs", "pub mod kafka; mod record; pub use record::Record;"),
        ("transport/record.rs", "pub struct Record;"),
        ("transport/kafka/mod.rs", "mod ffi; use rdkafka::Client; use crate::transport::Record;"),
        ("transport/kafka/ffi.rs", "use super::super::Record; unsafe fn raw() {}"),
        ("web/mod.rs", "use axum::Router; use crate::transport::kafka::Kafka; pub(crate) struct Web;"),
    ]
    .map(|(file, text)| (file.to_owned(), text.to_owned()))
    .into();
    files.insert(file.to_owned(), text.to_owned());
    check(&files)
}

#[test]
fn what_uses_its_own_floor_and_those_below_is_left_alone() {
    assert_eq!(planted("event.rs", "pub struct Envelope;"), [""; 0]);
    for text in [
        "use crate::Envelope; use std::fmt; pub(crate) struct Rule;",
        "/// As in [`web`](crate::web::Web).\npub struct Rule;",
        "pub struct Rule; mod tests { use super::Rule; use super::super::rules; }",
        "use tidings::transport::kafka::Kafka;",
        "fn f(x: Rule) { x.transport::<u8>(); Vec::<u8>::web() }",
    ] {
        assert_eq!(planted("mapper/planted.rs", text), [""; 0], "{text}");
    }
}

#[test]
fn an_import_that_climbs_is_caught_however_it_is_written() {
    for text in [
        "use crate::web::Web;",
        "use crate::{event::Envelope, web::{self, Web}};",
        "use super::super::transport::Record;",
        "use crate::transport;",
        "use crate::transport::*;",
        "fn f() -> crate::web::Web { todo!() }",
        "fn f() { let _ = <crate::web::Web as Default>::default(); }",
        "mod inner { use super::super::super::web::Web; }",
        "macro_rules! climb { () => { $crate::web::Web }; }",
        "fn f() { crate::span!(); }",
    ] {
        let wrong = planted("mapper/planted.rs", text);
        assert!(
            !wrong.is_empty() && wrong.iter().all(|w| w.starts_with("mapper/planted.rs:1: ")),
            "{text}: {wrong:?}"
        );
    }
    let ports = "pub mod kafka;\nmod record;\npub use kafka::Kafka;\npub use record::Record;";
    assert_eq!(
        planted("transport/mod.rs", ports),
        ["transport/mod.rs:3: floor 3 uses floor 5: `kafka::Kafka`"]
    );
    let port = "pub struct Record;\nuse super::kafka::Kafka;";
    assert_eq!(
        planted("transport/record.rs", port),
        ["transport/record.rs:2: floor 3 uses floor 5: `super::kafka::Kafka`"]
    );
}

#[test]
fn a_client_library_or_unsafe_code_in_the_wrong_place_is_caught() {
    for text in [
        "use rdkafka::ClientConfig;",
        "fn f() -> ::rdkafka::ClientConfig { todo!() }",
        "use {std::fmt, sqlx::Pool};",
        "extern crate redis;",
        "fn f(_: axum::Router) {}",
        "fn f() { unsafe { std::hint::unreachable_unchecked() } }",
    ] {
        assert_eq!(planted("mapper/planted.rs", text).len(), 1, "{text}");
    }
    assert_eq!(
        planted("web/mod.rs", "use rdkafka::Client;"),
        ["web/mod.rs:1: `rdkafka` is named below transport/kafka/ only"]
    );
}

#[test]
fn a_file_or_a_module_that_nobody_placed_is_caught() {
    assert_eq!(planted("mapper/lost.rs", ""), ["mapper/lost.rs: no `mod` leads to it"]);
    let wrong = planted("mapper/planted.rs", "use crate::cellar::Wine;");
    assert_eq!(
        wrong,
        ["mapper/planted.rs:1: `crate::cellar::Wine` lies on no floor that is known"]
    );
}
