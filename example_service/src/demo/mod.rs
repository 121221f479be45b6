//! stub
use std::process::ExitCode;
use tidings::error::BoxError;
#[derive(Debug, clap::Args)]
pub struct Options {}
pub async fn run(_: &Options) -> Result<ExitCode, BoxError> { Ok(ExitCode::SUCCESS) }
