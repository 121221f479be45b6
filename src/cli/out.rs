//! Standard output: tables for people, JSON for programs.

use std::io::{self, StdoutLock, Write};

use clap_complete::Shell;
use serde_json::Value;

use super::args::Output;
use super::error::CliError;
use super::format::{on_a_line, safe_json};
use crate::error::aligned;

/// Where results go.
pub(super) struct Out {
    form: Output,
}

impl Out {
    pub(super) fn new(form: Output) -> Self {
        Self { form }
    }

    /// Whether programs read it.
    pub(super) fn is_json(&self) -> bool {
        self.form == Output::Json
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes and a line feed.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        let written = |out: &mut StdoutLock<'_>| {
            out.write_all(bytes)?;
            out.write_all(b"\n")?;
            out.flush()
        };
        Ok(written(&mut out)?)
    }

    /// Writes a table for people, or a document for programs.
    pub(super) fn table<const N: usize>(
        &mut self,
        columns: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
        json: impl FnOnce() -> Value,
    ) -> Result<(), CliError> {
        if self.is_json() {
            return self.line(&safe_json(&format!("{:#}", json())));
        }
        let mut all = vec![columns.map(str::to_owned)];
        all.extend(rows.into_iter().map(|row| row.map(|cell| on_a_line(&cell).into_owned())));
        self.line(&aligned(&all))
    }

    pub(super) fn completions(
        &mut self,
        shell: Shell,
        command: &mut clap::Command,
        name: &str,
    ) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(shell, command, name, &mut script);
        self.bytes(&script)
    }
}
