//! How far a command has come, on standard error, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line that changes.
pub(super) fn line() -> ProgressBar {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    // The template is ours, and right.
    line.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("a template"));
    line.enable_steady_tick(Duration::from_millis(200));
    line
}

/// A bar with rate and remaining time; without a known end, a counter.
pub(super) fn bar(lines: Option<u64>) -> ProgressBar {
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::with_draw_target(lines, ProgressDrawTarget::stderr_with_hz(10));
    let template = match lines {
        Some(_) => "{bar:30} {pos} of {len} lines  {per_sec}  {eta} left",
        None => "{spinner} {pos} lines  {per_sec}",
    };
    // The templates are ours, and right.
    bar.set_style(ProgressStyle::with_template(template).expect("a template"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
