//! Headers, byte for byte.

use super::behaviour::{Verdict, declare};
use super::delivery::{as_sent, there_and_back};
use super::trial::Trial;

declare! { "headers":
    bytes = "headers come byte for byte, in order: repeated names, empty values, values of any bytes",
    many = "a hundred headers come in order",
    none = "a record without headers comes without",
    no_value [HeadersWithoutValue] = "a header without a value is not one with an empty value",
    names [HeaderNameBytes] = "a header's name may be any bytes",
}

async fn bytes(trial: &Trial) -> Verdict {
    let (sent, read) = there_and_back(trial, |record| {
        let all: Vec<u8> = (0..=255).collect();
        record.headers.push("a", "1");
        record.headers.push("b", &all);
        record.headers.push("a", "2");
        record.headers.push("a", "1");
        record.headers.push("empty", "");
        record.headers.push("not-utf-8", b"\xff\xfe\x00");
        record.headers.push("größe", "ü");
    })
    .await?;
    as_sent(&sent, &read)
}

async fn many(trial: &Trial) -> Verdict {
    let (sent, read) = there_and_back(trial, |record| {
        for n in 0..100_usize {
            record.headers.push(format!("header-{}", n * 7 % 100), "x".repeat(n));
        }
    })
    .await?;
    as_sent(&sent, &read)
}

async fn none(trial: &Trial) -> Verdict {
    let (sent, read) = there_and_back(trial, |_| ()).await?;
    as_sent(&sent, &read)
}

async fn no_value(trial: &Trial) -> Verdict {
    let (sent, read) = there_and_back(trial, |record| {
        record.headers.push_raw(b"none", None);
        record.headers.push_raw(b"empty", Some(b""));
        record.headers.push_raw(b"none", None);
    })
    .await?;
    as_sent(&sent, &read)
}

async fn names(trial: &Trial) -> Verdict {
    let (sent, read) = there_and_back(trial, |record| {
        record.headers.push(b"\xff\xfe", "1");
        record.headers.push(b"a\x00b", "2");
        record.headers.push("", "3");
    })
    .await?;
    as_sent(&sent, &read)
}
