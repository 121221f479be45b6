//! What an arm took, in wall and processor time, and two arms side by side: rates, not durations.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints")]

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{bootstrap, median};

/// What one arm took in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) events: u64,
    pub(crate) wall: Duration,
    /// User and system time of the whole process.
    pub(crate) cpu: Duration,
}

impl Sample {
    pub(crate) fn events_per_second(&self) -> f64 {
        self.events as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn cpu_nanos_per_event(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.events as f64
    }
}

/// Wall and processor time since a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_time() }
    }

    pub(crate) fn stop(self, events: u64) -> Sample {
        Sample { events, wall: self.wall.elapsed(), cpu: cpu_time().saturating_sub(self.cpu) }
    }
}

/// User and system time that this process has used.
pub(crate) fn cpu_time() -> Duration {
    // SAFETY: a zeroed `rusage` is a valid value of this plain C structure.
    #[allow(unsafe_code, reason = "the standard library does not say how much time was used")]
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for the whole call, which only writes to it.
    #[allow(unsafe_code, reason = "as above")]
    let answer = unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    assert_eq!(answer, 0, "getrusage knows its own process");
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs())
            + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// The rounds of one arm.
#[derive(Debug)]
pub(crate) struct Arm {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Sample>,
}

impl Arm {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new() }
    }

    pub(crate) fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// One line for a reader.
    pub(crate) fn show(&self) {
        println!(
            "{:>24}  {:>9.0} events/s  {:>6.0} ns CPU an event",
            self.name,
            self.median(Sample::events_per_second),
            self.median(Sample::cpu_nanos_per_event),
        );
    }
}

/// Sets one arm beside another, prints the JSON line, and says whether the ratio of their rates reaches `gate`,
/// where there is one.
pub(crate) fn compare(bench: &str, arm: &Arm, vs: &Arm, gate: Option<f64>) -> bool {
    let pairs = arm.rounds.iter().zip(&vs.rounds);
    let rates: Vec<_> =
        pairs.clone().map(|(a, b)| a.events_per_second() / b.events_per_second()).collect();
    let cpu: Vec<_> =
        pairs.map(|(a, b)| a.cpu_nanos_per_event() / b.cpu_nanos_per_event()).collect();
    let ratio = median(rates.clone());
    let line = json!({
        "bench": bench,
        "arm": arm.name,
        "vs": vs.name,
        "ratio": round(ratio),
        "ci95": bootstrap(&rates).map(round),
        "gate": gate,
        "cpu_ratio": round(median(cpu.clone())),
        "cpu_ci95": bootstrap(&cpu).map(round),
        "events_per_s": arm.median(Sample::events_per_second).round(),
        "vs_events_per_s": vs.median(Sample::events_per_second).round(),
        "cpu_ns": arm.median(Sample::cpu_nanos_per_event).round(),
        "vs_cpu_ns": vs.median(Sample::cpu_nanos_per_event).round(),
        "rounds": rates.len(),
        "events": arm.rounds.first().map(|round| round.events),
    });
    println!("{line}");
    gate.is_none_or(|gate| ratio >= gate)
}

fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// A number from the environment, or what stands in for it.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}

/// A service's address; `None`, said aloud, where there is none and none is required.
pub(crate) fn address(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok().filter(|address| !address.is_empty());
    if address.is_none() {
        let required = std::env::var("TIDINGS_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
        assert!(!required, "{variable} is not set, and TIDINGS_REQUIRE_SERVICES=1");
        eprintln!("skipped: {variable} is not set");
    }
    address
}
