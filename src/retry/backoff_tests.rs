//! What backoffs promise.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn delays(backoff: Backoff) -> Vec<u128> {
    (1..=5).map(|n| backoff.delay(n).as_millis()).collect()
}

#[test]
fn each_kind_grows_in_its_way_up_to_its_cap() {
    assert_eq!(delays(Backoff::fixed(100 * MS)), [100, 100, 100, 100, 100]);
    assert_eq!(delays(Backoff::linear(100 * MS)), [100, 200, 300, 400, 500]);
    assert_eq!(delays(Backoff::exponential(100 * MS)), [100, 200, 400, 800, 1600]);
    assert_eq!(delays(Backoff::default()), [100, 200, 400, 800, 1000]);
    assert_eq!(Backoff::default().delay(0), Duration::ZERO);
}

#[test]
fn jitter_takes_away_its_part_and_no_more() {
    let backoff = Backoff::fixed(100 * MS).jitter(0.2);
    assert_eq!(backoff.drawn(1, 0.0), 100 * MS);
    assert_eq!(backoff.drawn(1, 1.0), 80 * MS);
    assert_eq!(Backoff::fixed(100 * MS).jitter(true).drawn(1, 1.0), 50 * MS);
    assert_eq!(Backoff::fixed(100 * MS).jitter(false).jittered(1, &Chance::random()), 100 * MS);
    assert_eq!(Jitter::from(f64::NAN), Jitter::NONE);
    assert_eq!(Jitter::from(7.0), Jitter(1.0));
    assert_eq!(Jitter::from(-1.0), Jitter::NONE);
}

#[test]
fn jitter_draws_differently_each_time() {
    let backoff = Backoff::fixed(Duration::from_secs(1)).jitter(true);
    let drawn = |chance: Chance| (0..20).map(|_| backoff.jittered(1, &chance)).collect::<Vec<_>>();
    let different: std::collections::HashSet<_> = drawn(Chance::random()).into_iter().collect();
    assert!(different.len() > 10, "{different:?}");
    assert_eq!(drawn(Chance::seeded(7)), drawn(Chance::seeded(7)), "of one seed the same");
}

#[test]
fn a_backoff_is_read_from_its_text() {
    assert_eq!("fixed:100ms".parse(), Ok(Backoff::fixed(100 * MS)));
    assert_eq!("linear:100ms:cap=1s".parse(), Ok(Backoff::linear(100 * MS).cap(1000 * MS)));
    assert_eq!("exponential:100ms:cap=1s:jitter".parse(), Ok(Backoff::default()));
    assert_eq!("fixed:1s:jitter=0.2".parse(), Ok(Backoff::fixed(1000 * MS).jitter(0.2)));
}

#[test]
fn a_text_that_is_no_backoff_is_refused_with_its_reason() {
    for (text, reason) in [
        ("", "is no backoff"),
        ("cubic:1s", "\"cubic\" is no backoff"),
        ("fixed", "needs a delay"),
        ("fixed:soon", "not a duration"),
        ("fixed:1s:cap=x", "not a duration"),
        ("fixed:1s:cap", "no part of a backoff"),
        ("fixed:1s:cap=1s:cap=2s", "no part of a backoff"),
        ("fixed:1s:spread", "no part of a backoff"),
        ("fixed:1s:jitter=2", "from 0 to 1"),
        ("fixed:1s:jitter=NaN", "from 0 to 1"),
    ] {
        let error = text.parse::<Backoff>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

fn any_backoff() -> impl Strategy<Value = Backoff> {
    let duration =
        || (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(s, n)| Duration::new(s >> (s % 64), n));
    (0..3_u8, duration(), proptest::option::of(duration()), 0.0..=1.0).prop_map(
        |(kind, base, cap, jitter)| {
            let backoff = match kind {
                0 => Backoff::fixed(base),
                1 => Backoff::linear(base),
                _ => Backoff::exponential(base),
            };
            cap.map_or(backoff, |cap| backoff.cap(cap)).jitter(jitter)
        },
    )
}

proptest! {
    #[test]
    fn every_backoff_survives_being_written_and_read(backoff in any_backoff()) {
        prop_assert_eq!(backoff.to_string().parse(), Ok(backoff));
    }

    #[test]
    fn no_number_of_retries_overflows(backoff in any_backoff(), n: u32) {
        prop_assert!(backoff.jittered(n, &Chance::random()) <= backoff.delay(n));
        prop_assert!(backoff.delay(n) <= backoff.delay(n.saturating_add(1)));
        prop_assert!(backoff.total(n) >= backoff.delay(n));
        if let Some(cap) = backoff.cap {
            prop_assert!(backoff.delay(n) <= cap);
        }
    }

    #[test]
    fn the_total_is_the_sum_of_the_waits(backoff in any_backoff(), n in 0..200_u32) {
        let sum = (1..=n).fold(Duration::ZERO, |sum, n| sum.saturating_add(backoff.delay(n)));
        prop_assert_eq!(backoff.total(n), sum);
    }
}
