//! The wire, both ways, and what strangers write on it.

use proptest::prelude::*;

use super::*;

const PLACE: Place<'static> =
    Place { topic: "t", partition: 3, offset: 14, timestamp: Some(1_700_000_000_123) };

fn metadata() -> Metadata {
    let mut metadata = Metadata::named(
        "user_created",
        1,
        Source::new("user-service").unwrap(),
        &Default::default(),
    );
    metadata.time = Utc.timestamp_millis_opt(1_700_000_000_123).unwrap();
    metadata
}

fn full_metadata() -> Metadata {
    Metadata {
        version: 7,
        subject: Some(Subject::new("user/7").unwrap()),
        correlation_id: EventId::new(),
        causation_id: Some(EventId::new()),
        tenant: Some(Tenant::new("acme").unwrap()),
        trace: TraceContext::parse(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            Some("a=b"),
        )
        .ok(),
        data_schema: Some("urn:schema".into()),
        time: Utc.timestamp_nanos(1_700_000_000_123_456_000),
        ..metadata()
    }
}

#[test]
fn both_modes_carry_every_attribute_there_and_back() {
    for metadata in [metadata(), full_metadata()] {
        for mode in [ContentMode::Binary, ContentMode::Structured] {
            let payload = Bytes::from_static(br#"{"a":1}"#);
            let (headers, value) =
                write(mode, &metadata, "application/json", payload.clone()).unwrap();
            let read = read(&headers, Some(value), PLACE).unwrap();
            assert_eq!(read.metadata, metadata, "{mode:?}");
            assert_eq!(read.payload, Some(payload));
            assert!(!read.plain);
        }
    }
}

#[test]
fn a_header_that_would_say_its_default_is_not_written() {
    let (headers, _) =
        write(ContentMode::Binary, &metadata(), "application/json", Bytes::new()).unwrap();
    let names: Vec<_> =
        headers.iter().map(|(name, _)| std::str::from_utf8(name).unwrap()).collect();
    assert_eq!(names, ["ce_specversion", "ce_id", "ce_source", "ce_type", "content-type"]);
}

#[test]
fn a_plain_record_gets_an_id_from_where_it_lies() {
    let read = read(&Headers::default(), Some(Bytes::from_static(b"{}")), PLACE).unwrap();
    assert!(read.plain);
    assert_eq!(read.metadata.id.to_string(), "t/3/14");
    assert_eq!(read.metadata.time.timestamp_millis(), 1_700_000_000_123);
}

#[test]
fn a_plain_record_says_its_ids_itself_and_what_is_no_id_is_as_good_as_not_there() {
    let metadata = |headers: &[(&str, Option<&[u8]>)]| {
        let mut all = Headers::default();
        headers.iter().for_each(|(name, value)| all.push_raw(name.as_bytes(), *value));
        read(&all, None, PLACE).unwrap().metadata
    };
    let said = metadata(&[
        ("message-id", Some(b"m-7")),
        ("correlation-id", Some(b"c-7")),
        ("causation-id", Some(b"b-7")),
    ]);
    let ids = [&said.id, &said.correlation_id, said.causation_id.as_ref().unwrap()];
    assert_eq!(ids.map(ToString::to_string), ["m-7", "c-7", "b-7"]);
    let long = [b'x'; 257];
    for bad in [None, Some(&b""[..]), Some(b"a\nb"), Some(b"\xff"), Some(&long)] {
        let said = metadata(&[("message-id", bad), ("correlation-id", bad), ("causation-id", bad)]);
        assert_eq!(said.id.to_string(), "t/3/14", "{bad:?}");
        assert_eq!((said.correlation_id, said.causation_id), (said.id, None), "{bad:?}");
    }
}

#[test]
fn an_event_is_not_told_its_ids_by_the_headers_of_plain_messages() {
    let (mut headers, _) =
        write(ContentMode::Binary, &metadata(), "application/json", Bytes::new()).unwrap();
    for name in ["message-id", "correlation-id", "causation-id"] {
        headers.push(name, "other");
    }
    let read = read(&headers, None, PLACE).unwrap().metadata;
    assert_eq!((&read.correlation_id, &read.causation_id), (&read.id, &None));
    assert_ne!(read.id.to_string(), "other");
}

#[test]
fn attributes_that_cannot_be_what_they_must_be_are_named() {
    let with = |name: &str, value: &[u8]| {
        let (mut headers, _) =
            write(ContentMode::Binary, &metadata(), "application/json", Bytes::new()).unwrap();
        headers.push(name, value);
        read(&headers, None, PLACE).map(|read| read.metadata)
    };
    for (name, value) in [
        ("ce_id", &b""[..]),
        ("ce_id", b"a\nb"),
        ("ce_source", b"\xff"),
        ("ce_specversion", b"0.3"),
        ("ce_eventversion", b"-1"),
        ("ce_eventversion", b"99999999999"),
        ("ce_time", b"yesterday"),
        ("ce_type", b""),
    ] {
        let error = with(name, value).unwrap_err().to_string();
        let short = name.trim_start_matches("ce_").trim_start_matches("spec");
        assert!(error.contains(short), "{name}: {error}");
    }
    assert!(
        with("traceparent", b"junk").unwrap().trace.is_none(),
        "a bad trace is no reason to lose an event"
    );
    assert_eq!(with("ce_eventversion", b"2").unwrap().version, 2);
}

#[test]
fn the_last_of_a_repeated_header_wins() {
    let (mut headers, _) =
        write(ContentMode::Binary, &metadata(), "application/json", Bytes::new()).unwrap();
    headers.push("ce_type", "other");
    assert_eq!(&*read(&headers, None, PLACE).unwrap().metadata.event_type, "other");
}

proptest! {
    #[test]
    fn no_header_and_no_value_whatever_makes_reading_panic(
        headers in prop::collection::vec(
            (prop_oneof![Just("ce_id"), Just("ce_type"), Just("ce_time"), Just("ce_eventversion"),
                         Just("traceparent"), Just("content-type"), Just("message-id"),
                         Just("correlation-id"), Just("other")],
             prop::option::of(prop::collection::vec(any::<u8>(), 0..40))), 0..12),
        structured in any::<bool>(),
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..80)),
    ) {
        let mut all = Headers::default();
        for (name, value) in &headers {
            all.push_raw(name.as_bytes(), value.as_deref());
        }
        if structured {
            all.push("content-type", STRUCTURED);
        }
        let _ = read(&all, value.map(Bytes::from), PLACE);
    }
}
