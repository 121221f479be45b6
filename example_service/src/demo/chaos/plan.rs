//! What is killed in a round, and when: drawn from a seed.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

/// When in a round something is killed. Users are driven meanwhile for about as long.
const MOMENTS: Range<u64> = 0..1_500;
/// How long it is down.
const DOWN: Range<u64> = 0..600;

/// One kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// After the round began, or after the last start.
    pub after: Duration,
    /// Until it is started again.
    pub down: Duration,
}

/// What happens in one round, side by side.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Round {
    pub users: Vec<Strike>,
    pub mails: Vec<Strike>,
    pub broker: Vec<Strike>,
    /// Whether the next round begins before all are ready again.
    pub hurried: bool,
}

impl Round {
    /// Draws one. The first one kills everything that there is.
    pub fn draw(random: &mut Rng, first: bool, broker: bool) -> Self {
        let mut strikes = |often: f64, twice: f64| {
            let count = match first || random.f64() < often {
                true => 1 + usize::from(random.f64() < twice),
                false => 0,
            };
            let millis = |random: &mut Rng, range| Duration::from_millis(random.u64(range));
            (0..count)
                .map(|_| Strike { after: millis(random, MOMENTS), down: millis(random, DOWN) })
                .collect::<Vec<_>>()
        };
        let (users, mails) = (strikes(0.8, 0.25), strikes(0.8, 0.25));
        let broker = if broker { strikes(0.4, 0.0) } else { Vec::new() };
        Self { users, mails, broker, hurried: random.f64() < 0.25 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(seed: u64, broker: bool) -> Vec<Round> {
        let mut random = Rng::with_seed(seed);
        (0..20).map(|round| Round::draw(&mut random, round == 0, broker)).collect()
    }

    #[test]
    fn the_same_seed_kills_the_same() {
        assert_eq!(draw(7, true), draw(7, true));
        assert_ne!(draw(7, true), draw(8, true));
    }

    #[test]
    fn everything_is_killed_in_the_first_round_and_a_broker_that_cannot_be_never() {
        let round = &draw(7, true)[0];
        assert!([&round.users, &round.mails, &round.broker].iter().all(|kills| !kills.is_empty()));
        assert!(draw(7, false).iter().all(|round| round.broker.is_empty()));
    }
}
