//! The book and the README: their code runs, their links lead somewhere, and their tables are true.

#[cfg(all(feature = "axum", feature = "kafka", feature = "macros"))]
#[path = "../docs/examples/mod.rs"]
#[allow(
    unreachable_pub,
    dead_code,
    clippy::print_stdout,
    reason = "examples are written as a service would"
)]
mod examples;
