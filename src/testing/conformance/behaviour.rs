//! A named behaviour, and what it says when it does not hold.

use std::fmt;

use futures::future::BoxFuture;

use super::Capability;
use super::trial::Trial;
use super::{
    commits, consumers, delivery, followers, groups, headers, order, pauses, payloads, shutdown,
    tiers, tools, topics, transactions,
};

/// Something that a transport does, named as a sentence.
pub struct Behaviour {
    pub(super) area: &'static str,
    pub(super) name: &'static str,
    pub(super) needs: &'static [Capability],
    pub(super) run: for<'a> fn(&'a Trial) -> BoxFuture<'a, Verdict>,
}

impl Behaviour {
    /// What it belongs to: `delivery`, `groups`, …
    pub fn area(&self) -> &'static str {
        self.area
    }

    /// The sentence.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What a transport must be capable of to show it.
    pub fn needs(&self) -> &'static [Capability] {
        self.needs
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.area, self.name)
    }
}

/// All behaviours, in the order of the report.
pub fn behaviours() -> impl Iterator<Item = &'static Behaviour> {
    let areas: [&'static [Behaviour]; 14] = [
        delivery::BEHAVIOURS,
        order::BEHAVIOURS,
        payloads::BEHAVIOURS,
        headers::BEHAVIOURS,
        topics::BEHAVIOURS,
        groups::BEHAVIOURS,
        followers::BEHAVIOURS,
        commits::BEHAVIOURS,
        pauses::BEHAVIOURS,
        shutdown::BEHAVIOURS,
        transactions::BEHAVIOURS,
        tools::BEHAVIOURS,
        consumers::BEHAVIOURS,
        tiers::BEHAVIOURS,
    ];
    areas.into_iter().flatten()
}

/// Declares the behaviours of an area: each an async function, its sentence and what it needs.
macro_rules! declare {
    ($area:literal: $($run:ident $([$($need:ident),+])? = $name:literal,)+) => {
        pub(super) const BEHAVIOURS: &[$crate::testing::conformance::Behaviour] =
            &[$($crate::testing::conformance::Behaviour {
                area: $area,
                name: $name,
                needs: &[$($($crate::testing::conformance::Capability::$need),+)?],
                run: |trial| Box::pin($run(trial)),
            }),+];
    };
}
pub(super) use declare;

/// What a behaviour ends with.
pub(super) type Verdict<T = ()> = Result<T, Failure>;

/// What was expected, and what was seen.
#[derive(Debug)]
pub(super) struct Failure(String);

/// The longest value that a failure shows, in characters.
const SHOWN: usize = 400;

impl Failure {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// For `map_err`: what was tried, and the error with its causes.
    pub(super) fn of<E: std::error::Error + 'static>(what: &str) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {}", crate::error::chain(&error)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fails unless both are equal.
pub(super) fn same<T: PartialEq + fmt::Debug>(what: &str, expected: T, seen: T) -> Verdict {
    if expected == seen {
        return Ok(());
    }
    Err(Failure(format!("{what}: expected {}, seen {}", shown(&expected), shown(&seen))))
}

/// Fails unless it holds; `seen` says what was there instead.
pub(super) fn holds(what: &str, holds: bool, seen: impl fmt::Debug) -> Verdict {
    if holds {
        return Ok(());
    }
    Err(Failure(format!("expected that {what}, seen {}", shown(&seen))))
}

/// A value's text, cut where it is long.
pub(super) fn shown(value: &impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
