//! `config`: every setting, its value, and where it came from.

use serde_json::{Value, json};

use super::connect::{Session, wrong};
use super::error::CliError;
use super::out::Out;

pub(super) fn run(session: &Session, out: &mut Out) -> Result<(), CliError> {
    let config = session.config()?;
    let settings = config.effective();
    let rows = settings.iter().map(|setting| {
        [
            setting.setting.clone(),
            setting.value.clone(),
            setting.origin.to_string(),
            setting.variable.clone(),
        ]
    });
    out.table(["SETTING", "VALUE", "FROM", "VARIABLE"], rows, || {
        let all = settings.iter().map(|setting| {
            json!({
                "setting": setting.setting,
                "value": setting.value,
                "origin": setting.origin.to_string(),
                "variable": setting.variable,
                "doc": setting.doc,
            })
        });
        Value::Array(all.collect())
    })?;
    // Shown first, so that what is wrong can be looked up.
    config.validate().map_err(wrong)
}
