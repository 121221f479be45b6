//! What `#[producer]` asks of a function that answers a plain message. Its type may have any name, so it is the compiler
//! that tells whether it is a `Result`.

use std::convert::Infallible;

use crate::error::BoxError;

/// What becomes a plain message. A `Result` is serializable too, so this tells them apart by the order in which
/// methods are looked for: its own before those of a trait.
#[doc(hidden)]
#[derive(Debug)]
pub struct PlainAnswer<V>(pub V);

impl<V, F> PlainAnswer<Result<V, F>> {
    /// The value, unless the function has failed.
    ///
    /// # Errors
    /// The function's own.
    pub fn answered(self) -> Result<V, BoxError>
    where
        F: Into<BoxError>,
    {
        self.0.map_err(Into::into)
    }
}

/// An answer that is the value itself.
#[doc(hidden)]
pub trait ValueAnswer {
    /// The value.
    type Value;

    /// The value.
    ///
    /// # Errors
    /// Never.
    fn answered(self) -> Result<Self::Value, Infallible>;
}

impl<V> ValueAnswer for PlainAnswer<V> {
    type Value = V;

    fn answered(self) -> Result<V, Infallible> {
        Ok(self.0)
    }
}
