//! Many seeds of a whole simulated system; each of them must hold every promise.
//!
//! `TIDINGS_SIM_SEEDS=10000 cargo test --release --test simulation` runs many, from `TIDINGS_SIM_FIRST` on
//! and `TIDINGS_SIM_THREADS` at a time;
//! `TIDINGS_SIM_SEED=7` with `-- --nocapture` replays one, and `TIDINGS_SIM_ALL=1` goes on after a seed that
//! fails.

#![allow(unreachable_pub, reason = "modules of one test binary share what they need")]
#![allow(clippy::print_stdout, reason = "its figures are what it is run for")]

mod events;
mod handlers;
mod services;
mod shop;
mod stored;

use std::collections::BTreeSet;
use std::env;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidings::testing::sim::{Report, run};

/// How many seeds run where nothing is said.
const SEEDS: u64 = 50;

/// The seed that is run; where its run panics it is named, with the command that does it again.
struct Seed(u64);

impl Seed {
    fn run(&self) -> Report {
        run(self.0, services::simulate)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let again = again(self.0);
            let _ = writeln!(std::io::stderr(), "seed {} panicked\nagain: {again}", self.0);
        }
    }
}

/// What all seeds together came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    events: usize,
    faults: usize,
    crashes: usize,
    lasted: Duration,
}

#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number("TIDINGS_SIM_SEED") {
        let report = Seed(seed).run();
        println!(
            "seed {seed}: {} events, {} faults, {} crashes, {:?} of its time, hash {:016x}",
            report.events,
            report.faults,
            report.crashes,
            report.lasted,
            report.journal.hash()
        );
        if env::var_os("TIDINGS_SIM_JOURNAL").is_some() {
            report.journal.with(|entries| entries.iter().for_each(|entry| println!("{entry:?}")));
        }
        return assert!(report.violations.is_empty(), "\n{}", failed(&report));
    }
    let (first, seeds) = (number("TIDINGS_SIM_FIRST").unwrap_or(0), number("TIDINGS_SIM_SEEDS"));
    let seeds = seeds.unwrap_or(SEEDS);
    let all = env::var_os("TIDINGS_SIM_ALL").is_some();
    let began = Instant::now();
    let (next, sum, found) = (AtomicU64::new(0), Mutex::new(Sum::default()), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while all || found.lock().unwrap().is_none() {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= seeds {
                        break;
                    }
                    let seed = Seed(first + at);
                    let report = seed.run();
                    sum.lock().unwrap().add(&report);
                    if let Some(violation) = report.violations.first() {
                        let classes: BTreeSet<_> =
                            report.violations.iter().map(|v| v.class).collect();
                        let classes: Vec<_> = classes.iter().map(ToString::to_string).collect();
                        println!("seed {}: {}; {violation}", report.seed, classes.join(" "));
                        found.lock().unwrap().get_or_insert(report);
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    // Past the harness, which keeps what a test prints that does not fail.
    let _ = writeln!(
        std::io::stderr(),
        "{} seeds, {} events, {} faults, {} crashes, {:.0} h of simulated time in {:.1} s",
        sum.seeds,
        sum.events,
        sum.faults,
        sum.crashes,
        sum.lasted.as_secs_f64() / 3_600.0,
        began.elapsed().as_secs_f64()
    );
    if let Some(report) = found.into_inner().unwrap() {
        panic!("\n{}", failed(&report));
    }
    // A world in which nothing happens breaks no promise.
    let happened = sum.events > 0 && sum.faults > 0 && sum.crashes > 0;
    assert!(seeds > 0 && (seeds < 50 || happened), "nothing happened");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..20 {
        let (once, again) = (Seed(seed).run(), Seed(seed).run());
        assert_eq!(once.journal.hash(), again.journal.hash(), "seed {seed}");
    }
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.events += report.events;
        self.faults += report.faults;
        self.crashes += report.crashes;
        self.lasted += report.lasted;
    }
}

/// The story of what went wrong first, and the command that does it again.
fn failed(report: &Report) -> String {
    let others = report.violations.len() - 1;
    format!(
        "a promise is broken ({others} more): {}\nagain: {}",
        report.failure().unwrap_or_default(),
        again(report.seed)
    )
}

fn again(seed: u64) -> String {
    // The same build as this one, so that nothing is compiled anew.
    let release = if cfg!(debug_assertions) { "" } else { " --release" };
    let features = if cfg!(feature = "kafka") {
        ""
    } else {
        " --no-default-features --features testing,macros"
    };
    format!(
        "TIDINGS_SIM_SEED={seed} cargo test{release} -p tidings{features} --test simulation every_seed -- --nocapture"
    )
}

/// How many seeds run at a time: one for each core where nothing is said.
fn threads() -> u64 {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from) as u64;
    number("TIDINGS_SIM_THREADS").unwrap_or_else(cores).max(1)
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text:?}")))
}
