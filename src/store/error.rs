//! What can go wrong between us and a database.

use crate::error::BoxError;

/// A database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is away, or about to go.
    #[error("the database did not {what}")]
    Database {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        source: BoxError,
    },
    /// It could not do it beside other transactions (a deadlock, a conflict, a lock that did not come):
    /// the same may succeed at once.
    #[error("the database did not {what} beside other transactions")]
    Conflict {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        source: BoxError,
    },
    /// It is there, and says no: a constraint, a transaction that has failed before, a missing right.
    #[error("the database refused to {what}")]
    Refused {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        source: BoxError,
    },
    /// The tables are missing or of another version.
    #[error(
        "the tables are of version {found}, this release needs {needed}; call `migrate()`, or run \
         the statements that `migrations()` lists"
    )]
    Version {
        /// The version that is there, 0 for none.
        found: i32,
        /// The version that is needed.
        needed: i32,
    },
}

/// A request is handled in no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request has no transaction; add `.behaviour(InTransaction(outbox))` to its mediator")]
pub struct NoTransaction;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl StoreError {
    pub(crate) fn database(what: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |error| {
            let code = error.as_database_error().and_then(|answer| answer.code());
            let of = match &error {
                sqlx::Error::Database(_) => code.as_deref().map_or(Answer::Refused, answer),
                // What a driver says when it cannot read a value, not what a database that is away does.
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::RowNotFound => Answer::Refused,
                _ => Answer::Away,
            };
            let source = error.into();
            match of {
                Answer::Away => Self::Database { what, source },
                Answer::Conflict => Self::Conflict { what, source },
                Answer::Refused => Self::Refused { what, source },
            }
        }
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Away,
    Conflict,
    Refused,
}

/// What an error's code says: PostgreSQL has five characters, of which the first two are the class;
/// SQLite a number, of which the lowest byte is.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn answer(code: &str) -> Answer {
    if code.len() == 5 {
        return match (&code[..2], code) {
            // Serialization failure, deadlock; a lock or a statement that is not waited for for so long.
            ("40", _) | (_, "55P03" | "57014") => Answer::Conflict,
            // Connection, resources, shutdown and crash, the system, a server that only reads.
            ("08" | "53" | "57" | "58" | "XX", _) | (_, "25006") => Answer::Away,
            _ => Answer::Refused,
        };
    }
    match code.parse::<i32>().map(|code| code & 0xff) {
        // Busy, locked.
        Ok(5 | 6) => Answer::Conflict,
        // The disk: an error, full, not to be opened; a database that cannot be written to.
        Ok(8 | 10 | 13 | 14) => Answer::Away,
        _ => Answer::Refused,
    }
}

#[cfg(all(test, any(feature = "postgres", feature = "sqlite")))]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_is_down_and_from_what_is_refused() {
        for (codes, expected) in [
            (&["40001", "40P01", "55P03", "57014", "5", "517", "6", "262"][..], Answer::Conflict),
            (
                &["08006", "53300", "57P01", "57P03", "25006", "XX000", "10", "13", "522"],
                Answer::Away,
            ),
            (&["23505", "25P02", "42P01", "22001", "P0001", "1", "19", "2067"], Answer::Refused),
        ] {
            for code in codes {
                assert_eq!(answer(code), expected, "{code}");
            }
        }
    }

    #[test]
    fn a_pool_without_a_free_connection_and_a_broken_line_are_a_database_that_is_away() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::Io(broken)] {
            let error = StoreError::database("commit")(error);
            assert!(matches!(error, StoreError::Database { what: "commit", .. }), "{error}");
        }
    }
}
