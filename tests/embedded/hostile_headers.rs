//! Headers are data from strangers (reliability rows 1, 2 and 21).

use std::time::{Duration, Instant};

use tidings::consumer::*;
use tidings::event::header;
use tidings::transport::Record;

use crate::events::{Note, contract, note};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_names_that_are_no_text_are_quarantined_byte_for_byte_and_the_next_record_runs() {
    contract!(Names: "hostile.names");
    let kafka = client();
    let seen = Seen::<Note<Names>>::default();
    let running =
        start(consumer::<Names>().handle(record::<Names>).state(seen.clone()), &kafka).await;

    let mut hostile: Vec<Record> = Vec::new();
    for (n, name) in [&b"\xff\xfe"[..], b"a\0b", b"", b"\0"].into_iter().enumerate() {
        let mut record = written::<Names>("k", n as u32);
        record.headers.push_raw(name, Some(b"\xfe\0\r\n"));
        record.headers.push_raw(b"null", None);
        record.headers.push_raw(b"null", Some(b""));
        record.payload = Some(bytes::Bytes::from_static(b"\xff not even text \0"));
        put(&kafka, &record).await;
        hostile.push(record);
    }
    put(&kafka, &written::<Names>("k", 99)).await;
    eventually("the next record runs", SOON, || seen.len() == 1).await;
    assert_eq!(seen.all(), [note("k", 99)]);
    assert_eq!(running.status().counts().quarantined(), 4);

    let mut kept = lies_on(&kafka, &beside::<Names>("quarantine")).await;
    kept.sort_by_key(|record| text(record, header::ORIGIN_OFFSET).to_owned());
    assert_eq!(kept.len(), hostile.len());
    for (offset, (before, after)) in hostile.iter().zip(&kept).enumerate() {
        assert_kept(before, after);
        assert_eq!(text(after, header::ORIGIN_TOPIC), "hostile.names");
        assert_eq!(text(after, header::ORIGIN_OFFSET), offset.to_string());
        assert_eq!(text(after, header::ERROR_KIND), "undecodable");
    }
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_value_that_is_no_text_matters_only_where_it_must_be_one() {
    contract!(Values: "hostile.values");
    let kafka = client();
    let seen = Seen::<Note<Values>>::default();
    let running =
        start(consumer::<Values>().handle(record::<Values>).state(seen.clone()), &kafka).await;

    let mut foreign = written::<Values>("k", 1);
    foreign.headers.push_raw(b"x-other", Some(b"\xff\xfe\0"));
    foreign.headers.push_raw(header::TRACEPARENT.as_bytes(), Some(b"00-nonsense"));
    put(&kafka, &foreign).await;
    let mut attribute = written::<Values>("k", 2);
    attribute.headers.push_raw(header::SUBJECT.as_bytes(), Some(b"\xff"));
    put(&kafka, &attribute).await;
    let mut control = written::<Values>("k", 3);
    control.headers.push(header::ID, "a\r\nb");
    put(&kafka, &control).await;
    let mut last_wins = written::<Values>("k", 4);
    let good = last_wins.headers.get_str(header::ID).unwrap().to_owned();
    last_wins.headers.push(header::ID, "");
    last_wins.headers.push(header::ID, good);
    put(&kafka, &last_wins).await;

    eventually("the good ones run", SOON, || seen.len() == 2).await;
    assert_eq!(seen.all(), [note("k", 1), note("k", 4)]);
    let kept = lies_on(&kafka, &beside::<Values>("quarantine")).await;
    assert_eq!(numbers(&kept), [2, 3]);
    for (before, after) in [attribute, control].iter().zip(&kept) {
        assert_kept(before, after);
        assert!(!text(after, header::ERROR_MESSAGE).contains(char::is_control));
    }
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_header_and_5000_headers_are_handled_and_kept_through_a_retry() {
    contract!(Huge: "hostile.huge");
    let kafka = client();
    let seen = Seen::<(u32, u32)>::default();
    let handler = {
        let seen = seen.clone();
        move |Event(note): Event<Note<Huge>>, Attempt(attempt): Attempt| {
            let seen = seen.clone();
            async move {
                seen.add((note.n, attempt));
                if attempt == 1 { Err(HandlerError::transient("once more")) } else { Ok(()) }
            }
        }
    };
    let running = start(consumer::<Huge>().handle_named("twice", handler), &kafka).await;

    let mut big = written::<Huge>("k", 1);
    big.headers.push("x-blob", vec![0xff; 900_000]);
    let mut many = written::<Huge>("k", 2);
    (0..5_000).for_each(|i| many.headers.push(format!("x-{i}"), "v"));
    let begun = Instant::now();
    put(&kafka, &big).await;
    put(&kafka, &many).await;
    eventually("both run twice", SOON, || seen.len() == 4).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    let kept = lies_on(&kafka, &beside::<Huge>("retry.50ms")).await;
    assert_eq!(numbers(&kept), [1, 2]);
    assert_kept(&big, &kept[0]);
    assert_kept(&many, &kept[1]);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_headers_on_a_tier_are_read_with_care_and_the_last_one_wins() {
    contract!(Retried: "hostile.retried");
    let kafka = client();
    let seen = Seen::<(u32, u32)>::default();
    let handler = {
        let seen = seen.clone();
        move |Event(note): Event<Note<Retried>>, Attempt(attempt): Attempt| {
            let seen = seen.clone();
            async move {
                seen.add((note.n, attempt));
                Ok::<_, HandlerError>(())
            }
        }
    };
    let running = start(consumer::<Retried>().handle_named("note", handler), &kafka).await;

    const GROUP: (&str, &str) = (header::RETRY_GROUP, "hostile.retried");
    const HANDLER: (&str, &str) = (header::RETRY_HANDLER, "note");
    const ATTEMPT: &str = header::RETRY_ATTEMPT;
    let cases: &[&[(&str, &str)]] = &[
        &[GROUP, HANDLER, (ATTEMPT, "9"), (ATTEMPT, "7")],
        &[GROUP, HANDLER, (ATTEMPT, "-3")],
        &[GROUP, HANDLER, (ATTEMPT, "99999999999999999999999")],
        &[GROUP, HANDLER, (ATTEMPT, "7"), (ATTEMPT, "seven\r\n")],
        &[GROUP, HANDLER, (ATTEMPT, "1"), (header::RETRY_NOT_BEFORE, "253402300799999")],
        &[(header::RETRY_GROUP, "another"), GROUP, (header::RETRY_HANDLER, "another"), HANDLER],
        // These three run nowhere: for another group; for nobody; for a handler that is not there.
        &[GROUP, (header::RETRY_GROUP, "another"), HANDLER],
        &[HANDLER],
        &[GROUP, (header::RETRY_HANDLER, "renamed")],
    ];
    for (n, headers) in cases.iter().enumerate() {
        put(&kafka, &on_tier::<Retried>(written::<Retried>("k", n as u32), "50ms", headers)).await;
    }
    put(&kafka, &on_tier::<Retried>(written::<Retried>("k", 99), "50ms", &[GROUP, HANDLER])).await;
    eventually("the last one runs", SOON, || seen.all().iter().any(|(n, _)| *n == 99)).await;
    assert_eq!(seen.all(), [(0, 8), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2), (99, 2)]);
    let counts = running.status().counts();
    assert_eq!((counts.skipped(), counts.quarantined(), counts.dead_lettered()), (1, 1, 1));
    assert_eq!(numbers(&lies_on(&kafka, &beside::<Retried>("quarantine")).await), [7]);
    let dead = lies_on(&kafka, &beside::<Retried>("dlq")).await;
    assert_eq!(numbers(&dead), [8]);
    assert_eq!(text(&dead[0], header::RETRY_HANDLER), "renamed");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_headers_on_a_main_topic_neither_route_nor_delay_nor_count() {
    contract!(Main: "hostile.main");
    let kafka = client();
    let seen = Seen::<(u32, u32)>::default();
    let handler = {
        let seen = seen.clone();
        move |Event(note): Event<Note<Main>>, Attempt(attempt): Attempt| {
            let seen = seen.clone();
            async move {
                seen.add((note.n, attempt));
                if note.n == 3 { Err(HandlerError::permanent("no")) } else { Ok(()) }
            }
        }
    };
    let running = start(consumer::<Main>().handle_named("note", handler), &kafka).await;
    let hostile = [
        (header::RETRY_GROUP, "another"),
        (header::RETRY_HANDLER, "another"),
        (header::RETRY_ATTEMPT, "4294967295"),
        (header::RETRY_NOT_BEFORE, "253402300799999"),
        (header::ORIGIN_TOPIC, "forged"),
        (header::ORIGIN_PARTITION, "77"),
        (header::ORIGIN_OFFSET, "-1"),
        (header::ERROR_MESSAGE, "forged\r\nINFO all is well"),
        (header::FIRST_FAILED_AT, "0"),
    ];
    for n in 1..=3 {
        let mut record = written::<Main>("k", n);
        hostile.iter().for_each(|(name, value)| record.headers.push(name, value));
        put(&kafka, &record).await;
    }
    eventually("all run", SOON, || seen.len() == 3).await;
    assert_eq!(seen.all(), [(1, 1), (2, 1), (3, 1)]);
    eventually("one is dead", SOON, || running.status().counts().dead_lettered() == 1).await;
    assert_eq!(running.status().counts().skipped(), 0);

    let dead = lies_on(&kafka, &beside::<Main>("dlq")).await;
    let [dead] = &*dead else { panic!("one dead letter, not {}", dead.len()) };
    for (name, expected) in [
        (header::ORIGIN_TOPIC, "hostile.main"),
        (header::ORIGIN_PARTITION, "0"),
        (header::ORIGIN_OFFSET, "2"),
        (header::ERROR_MESSAGE, "no"),
        (header::RETRY_ATTEMPT, "1"),
        (header::RETRY_GROUP, "hostile.main"),
        (header::RETRY_HANDLER, "note"),
    ] {
        assert_eq!(text(dead, name), expected, "{name}");
        let times = dead.headers.iter().filter(|(n, _)| *n == name.as_bytes()).count();
        assert_eq!(times, 1, "{name} is replaced, not added to");
    }
    assert_ne!(text(dead, header::FIRST_FAILED_AT), "0");
    assert_eq!(dead.headers.get(header::RETRY_NOT_BEFORE), None);
    stop(running).await;
}
