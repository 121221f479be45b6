//! The conformance suite over the transports that are here; each prints its table.
#![cfg(all(feature = "testing", feature = "kafka"))]

mod embedded;
mod kafka;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write as _;
use std::path::PathBuf;

use tidings::testing::conformance::{Subject, Suite};

/// `TIDINGS_CONFORMANCE=groups` runs the behaviours whose area or name holds that.
const ONLY: &str = "TIDINGS_CONFORMANCE";

/// Runs the suite, prints the table, and fails where the transport does.
async fn conforms(subject: impl Subject, at_once: usize) {
    let file = format!("conformance-{}.md", subject.name().replace(' ', "-"));
    let only = std::env::var(ONLY).unwrap_or_default();
    let wanted = move |behaviour: &tidings::testing::conformance::Behaviour| {
        behaviour.area().contains(&only) || behaviour.name().contains(&only)
    };
    let report = Suite::new(subject).only(wanted).at_once(at_once).run().await;
    // Past the test harness, which keeps what a test prints that does not fail.
    let _ = write!(std::io::stderr(), "\n{report}\n");
    std::fs::write(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file), report.to_string())
        .unwrap();
    assert!(report.is_conformant(), "\n{report}");
}
