//! Records of production: kept as JSON, byte for byte, and replayed.

use bytes::Bytes;
use tidings::event::{Headers, TopicName};
use tidings::testing::{Fixture, TestKit};
use tidings::transport::{Received, Timestamp};

use crate::stage::*;

fn record(payload: Option<&'static [u8]>) -> Received {
    let mut headers = Headers::default();
    headers.push("ce_specversion", "1.0");
    headers.push("ce_specversion", "1.0");
    headers.push("quotes", "\"\\\u{0}\u{7f}ü\u{1F980}\r\n");
    headers.push("empty", "");
    headers.push_raw(b"null", None);
    headers.push_raw(b"\xff\x00name", Some(b"\x00\xff\xfe"));
    headers.push_raw(b"", Some(b"no name"));
    Received {
        topic: TopicName::from_static("paid"),
        partition: 2,
        offset: 1742,
        timestamp: Some(Timestamp::Created(1_732_190_400_123)),
        key: Some(Bytes::from_static(b"\x80key")),
        payload: payload.map(Bytes::from_static),
        headers,
    }
}

#[test]
fn a_hostile_record_comes_back_byte_for_byte() {
    for payload in [
        None,
        Some(&b""[..]),
        Some(b"{\"b\":1, \"a\": 1.50e2,\"a\":\"\\u00fc\"}"),
        Some(b" {\"blank\":\"before\"}"),
        Some(b"null"),
        Some(b"{\n  \"of\": [\"many\", \"lines\"]\n}"),
        Some(b"no json"),
        Some(b"\xff\x00"),
    ] {
        let record = record(payload);
        let text = Fixture::of(&record).to_json();
        let again = Fixture::from_json(&text).unwrap();
        let sent = again.record();
        assert_eq!(sent.headers, record.headers, "{text}");
        assert_eq!(sent.payload, record.payload, "{text}");
        assert_eq!((sent.key, sent.topic), (record.key, record.topic));
        assert_eq!(sent.timestamp, Some(1_732_190_400_123));
        assert_eq!(again.to_json(), text);
    }
}

#[test]
fn a_fixture_reads_well() {
    let mut record = record(Some(b"{\"order\":\"7\"}"));
    record.key = Some(Bytes::from_static(b"7"));
    record.headers = Headers::default();
    record.headers.push("ce_type", "paid");
    record.headers.push_raw(b"signature", Some(b"\xff\x00\x01"));
    assert_eq!(
        Fixture::of(&record).to_json(),
        r#"{
  "topic": "paid",
  "partition": 2,
  "offset": 1742,
  "timestamp": 1732190400123,
  "key": "7",
  "headers": [
    ["ce_type", "paid"],
    ["signature", {"base64":"/wAB"}]
  ],
  "payload": { "json": {"order":"7"} }
}
"#
    );
}

#[test]
fn what_is_no_fixture_is_refused_by_the_name_of_the_field() {
    for (text, said) in [
        ("[]", "a fixture is a JSON object"),
        ("{}", "topic: is missing"),
        (r#"{"topic": "a b", "payload": null}"#, "topic: "),
        (r#"{"topic": "t"}"#, "payload: is missing; a tombstone's is null"),
        (r#"{"topic": "t", "payload": "x"}"#, "payload: is neither null nor one of"),
        (r#"{"topic": "t", "payload": {"text": 1}}"#, "payload.text: "),
        (r#"{"topic": "t", "payload": {"base64": "?"}}"#, "payload.base64: "),
        (r#"{"topic": "t", "payload": null, "offset": "x"}"#, "offset: is not a whole number"),
        (r#"{"topic": "t", "payload": null, "headers": {}}"#, "headers: is not a list"),
        (r#"{"topic": "t", "payload": null, "headers": [["a"]]}"#, "headers[0]: is not a list of"),
        (r#"{"topic": "t", "payload": null, "headers": [["a", 1]]}"#, "headers[0][1]: is neither"),
        (r#"{"topic": "t", "payload": null, "headers": [[null, ""]]}"#, "headers[0][0]: is null"),
        (r#"{"topic": "t", "payload": null, "paylod": 1}"#, "paylod: is not a field of a fixture"),
    ] {
        let error = Fixture::from_json(text).unwrap_err().to_string();
        assert!(error.starts_with(said), "{text}: {error}");
    }
    let error = Fixture::load("nowhere.json").unwrap_err().to_string();
    assert_eq!(error, "nowhere.json cannot be read");
}

#[tokio::test(start_paused = true)]
async fn a_recorded_event_is_handled_again_as_it_was_recorded() {
    let kit = shop(shipping(never)).await;
    let fixture = Fixture::from_json(
        r#"{
            "topic": "paid",
            "timestamp": 1732190400123,
            "key": "7",
            "headers": [
                ["ce_specversion", "1.0"],
                ["ce_id", "01934f2a-0000-7000-8000-000000c0ffee"],
                ["ce_source", "till"],
                ["ce_type", "paid"],
                ["x-signature", { "base64": "/wAB" }]
            ],
            "payload": { "json": { "order": "7", "cents": 1250 } }
        }"#,
    )
    .unwrap();
    kit.replay(&fixture).await;
    kit.settled().await;
    kit.expect::<Paid>().published(1).handled_by("ship", 1);
    kit.expect::<Shipped>().published_exactly([shipped("7")]);
    let paid = &kit.published::<Paid>()[0];
    assert_eq!((paid.event.cents, paid.metadata.source.as_str()), (1250, "till"));
    assert_eq!(paid.metadata.time.timestamp_millis(), 1_732_190_400_123);
    let stored = &kit.broker().records(&TopicName::from_static("paid"))[0];
    assert_eq!(stored.headers, fixture.record().headers);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_the_kit_can_be_kept_as_a_fixture() {
    let kit = TestKit::new();
    kit.publish(paid("7")).await;
    let stored = kit.broker().records(&TopicName::from_static("paid"));
    let fixture = Fixture::from_json(&Fixture::of(&stored[0]).to_json()).unwrap();
    kit.replay(&fixture).await;
    kit.expect::<Paid>().published_exactly([paid("7"), paid("7")]);
}
