//! What a batch function may answer.

use crate::consumer::HandlerError;

/// What a batch function may answer: an outcome for each item, in their order, or an error that is all of
/// theirs: `Vec<Result<O, X>>` or `Result<Vec<Result<O, X>>, X>`.
#[diagnostic::on_unimplemented(
    message = "a batch function cannot answer `{Self}`",
    note = "answer `Vec<Result<_, HandlerError>>`, an outcome for each item in their order; or that in a `Result`, whose error is that of all items"
)]
pub trait BatchAnswer: Send {
    /// What an item leads to.
    type Output: Send;

    /// The outcomes.
    ///
    /// # Errors
    /// The error of all items.
    fn outcomes(self) -> Result<Vec<Result<Self::Output, HandlerError>>, HandlerError>;
}

impl<O: Send, X: Into<HandlerError> + Send> BatchAnswer for Vec<Result<O, X>> {
    type Output = O;

    fn outcomes(self) -> Result<Vec<Result<O, HandlerError>>, HandlerError> {
        Ok(self.into_iter().map(|outcome| outcome.map_err(Into::into)).collect())
    }
}

impl<O: Send, X: Into<HandlerError> + Send, Y: Into<HandlerError> + Send> BatchAnswer
    for Result<Vec<Result<O, X>>, Y>
{
    type Output = O;

    fn outcomes(self) -> Result<Vec<Result<O, HandlerError>>, HandlerError> {
        self.map_err(Into::into).and_then(BatchAnswer::outcomes)
    }
}
