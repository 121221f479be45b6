//! What the tables are called, checked once: these names are the only text that is put into SQL.

use std::fmt;

/// The longest prefix or schema, in bytes: PostgreSQL cuts a table's name at 63.
const MAX_LEN: usize = 32;

/// Where the tables lie and what their names begin with.
///
/// By default they begin with `tidings_` and lie in the schema that the connection finds first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    schema: Option<String>,
    prefix: String,
}

impl Tables {
    /// The names by default.
    #[allow(clippy::new_without_default, reason = "said where it is used, as builders are")]
    pub fn new() -> Self {
        Self { schema: None, prefix: "tidings_".into() }
    }

    /// Puts the tables into a schema; it is made where it is missing. SQLite has none, and its store
    /// refuses one. Default: none, which is the connection's own.
    ///
    /// # Errors
    /// When the name is not 1 to 32 of `a–z 0–9 _`, or begins with a digit.
    pub fn schema(mut self, schema: &str) -> Result<Self, InvalidTables> {
        self.schema = Some(checked("schema", schema)?);
        Ok(self)
    }

    /// Begins every name with `prefix`. Default: `tidings_`.
    ///
    /// # Errors
    /// As for [`schema`](Self::schema).
    pub fn prefix(mut self, prefix: &str) -> Result<Self, InvalidTables> {
        self.prefix = checked("prefix", prefix)?;
        Ok(self)
    }

    /// The schema, where one was given.
    pub fn schema_name(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// A statement with `{name}` made a table's name, `{=name}` one without its schema (as indexes are
    /// named), and `{schema}` the schema's. All of them are quoted: a schema may be called `user`.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn fill(&self, statement: &str) -> String {
        let schema = self.schema.as_ref();
        let mut filled = String::with_capacity(statement.len() + 256);
        let mut rest = statement;
        while let Some((before, (name, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            filled.push_str(before);
            match name {
                "" => filled.push_str("{}"),
                "schema" => filled.extend(schema.map(|schema| format!("\"{schema}\""))),
                _ => {
                    let (name, schema) =
                        name.strip_prefix('=').map_or((name, schema), |n| (n, None));
                    filled.extend(schema.map(|schema| format!("\"{schema}\".")));
                    filled.push_str(&format!("\"{}{name}\"", self.prefix));
                }
            }
            rest = after;
        }
        filled + rest
    }
}

impl fmt::Display for Tables {
    /// What is unique to these tables within a database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.prefix),
            None => f.write_str(&self.prefix),
        }
    }
}

fn checked(what: &'static str, name: &str) -> Result<String, InvalidTables> {
    let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let begins = !name.starts_with(|c: char| c.is_ascii_digit());
    if (1..=MAX_LEN).contains(&name.len()) && name.bytes().all(legal) && begins {
        return Ok(name.to_owned());
    }
    let why = "is not 1 to 32 of a–z, 0–9 and _, beginning with no digit";
    Err(InvalidTables { what, name: name.chars().take(MAX_LEN + 1).collect(), why })
}

/// A text that cannot be part of a table's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} {name:?} {why}")]
pub struct InvalidTables {
    what: &'static str,
    name: String,
    why: &'static str,
}

#[cfg(feature = "sqlite")]
impl InvalidTables {
    /// SQLite has no schemas; a database file is what it has instead.
    pub(crate) fn no_schema(schema: &str) -> Self {
        Self { what: "schema", name: schema.to_owned(), why: "cannot be had: SQLite has none" }
    }
}

/// One step that brings the tables up to date, for teams that run such steps with a tool of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its number, from 1; steps are run in order, each once.
    pub version: i32,
    /// What it does, in a few words.
    pub name: &'static str,
    /// Statements, to be run in one transaction.
    pub sql: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_more_than_a_name_is_refused() {
        for name in ["", "1a", "a b", "a;drop table users", "a\"", "Ä", "A", &"a".repeat(33)] {
            assert!(Tables::new().prefix(name).is_err(), "{name}");
            assert!(Tables::new().schema(name).is_err(), "{name}");
        }
        assert!(Tables::new().prefix("app_2_").is_ok());
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    #[test]
    fn names_are_put_in_where_braces_stand() {
        let plain = Tables::new();
        assert_eq!(plain.fill("{outbox} a, {kept}"), r#""tidings_outbox" a, "tidings_kept""#);
        let named = Tables::new().schema("app").unwrap().prefix("x_").unwrap();
        let filled = named.fill("'{}' {schema} {outbox} {=outbox_due}");
        assert_eq!(filled, r#"'{}' "app" "app"."x_outbox" "x_outbox_due""#);
        assert_eq!(named.to_string(), "app.x_");
    }
}
