//! Durations as text: `250ms`, `5s`, `1m30s`, and back.

use std::time::Duration;

/// Units from the longest to the shortest, in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration: whole numbers with a unit (`d`, `h`, `m`, `s`, `ms`, `us`, `ns`), longest unit first, each unit
/// once, nothing between them: `250ms`, `5s`, `1m30s`. Zero is a duration (`0s`).
///
/// # Errors
/// When a unit is missing, unknown, repeated or out of order, or the whole is longer than a [`Duration`] can say.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let fail = |problem| InvalidDuration { text: cut(text), problem };
    if text.is_empty() {
        return Err(fail(Problem::Empty));
    }
    let (mut rest, mut total, mut last) = (text, 0_u128, None);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(fail(Problem::NoNumber));
        }
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(fail(Problem::NoUnit));
        }
        let place =
            UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(|| fail(Problem::Unit))?;
        if last.is_some_and(|last| place <= last) {
            return Err(fail(Problem::Order));
        }
        total = number
            .parse()
            .ok()
            .and_then(|number: u128| number.checked_mul(UNITS[place].1))
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| fail(Problem::TooLong))?;
        last = Some(place);
        rest = tail;
    }
    from_nanos(total).ok_or_else(|| fail(Problem::TooLong))
}

/// Writes a duration as one number and the longest unit that says it exactly: `90s`, not `1m30s`.
/// [`parse_duration`] reads it back to the same duration.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".into();
    }
    let (unit, size) = UNITS
        .iter()
        .find(|(_, size)| nanos.is_multiple_of(*size))
        .expect("all is a multiple of 1 ns");
    format!("{}{unit}", nanos / size)
}

/// The duration of so many nanoseconds, where there is one.
pub(super) fn from_nanos(nanos: u128) -> Option<Duration> {
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration: {problem}; write `250ms`, `5s`, `1m`, `2h`, `1d` or `1m30s`")]
pub struct InvalidDuration {
    text: String,
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("it is empty")]
    Empty,
    #[error("a whole number is missing before a unit")]
    NoNumber,
    #[error("the unit is missing")]
    NoUnit,
    #[error("the units are `d`, `h`, `m`, `s`, `ms`, `us` and `ns`")]
    Unit,
    #[error("units go from the longest to the shortest, each once")]
    Order,
    #[error("it is too long")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_is_read_by_its_units() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5_000),
            ("1m", 60_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1m30s", 90_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_duration_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "it is empty"),
            ("5", "the unit is missing"),
            ("1m30", "the unit is missing"),
            ("s", "a whole number is missing"),
            ("-5s", "a whole number is missing"),
            ("1.5s", "the units are"),
            ("5 s", "the units are"),
            ("5S", "the units are"),
            ("5min", "the units are"),
            ("30s1m", "longest to the shortest"),
            ("1s1s", "longest to the shortest"),
            ("99999999999999999999d", "too long"),
            ("999999999999999999999999999999999999999999ns", "too long"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_duration_is_written_with_the_longest_exact_unit() {
        for (millis, text) in
            [(0, "0s"), (1_500, "1500ms"), (60_000, "1m"), (90_000, "90s"), (86_400_000, "1d")]
        {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse_duration(&format_duration(Duration::MAX)), Ok(Duration::MAX));
    }

    proptest! {
        #[test]
        fn every_duration_survives_being_written_and_read(secs: u64, nanos in 0..1_000_000_000_u32) {
            let duration = Duration::new(secs, nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9a-zµ .-]{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}
