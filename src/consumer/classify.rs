//! Error types whose kind of failure is known, so that a handler need not say it each time.

use std::error::Error;

use super::outcome::FailureKind;

type Classifier = Box<dyn Fn(&(dyn Error + 'static)) -> Option<FailureKind> + Send + Sync>;

/// What was said about error types, in the order it was given.
#[derive(Default)]
pub(super) struct Classifiers(Vec<Classifier>);

impl Classifiers {
    pub(super) fn add<E: Error + 'static>(
        &mut self,
        kind: impl Fn(&E) -> FailureKind + Send + Sync + 'static,
    ) {
        self.0.push(Box::new(move |error| error.downcast_ref::<E>().map(&kind)));
    }

    /// The kind of an error, or of the outermost of its causes that one is known of.
    pub(super) fn kind(&self, error: &(dyn Error + 'static)) -> Option<FailureKind> {
        let known = self.0.iter().find_map(|classifier| classifier(error));
        known.or_else(|| self.kind(error.source()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum MailError {
        #[error("refused")]
        Refused,
        #[error("io")]
        Io(#[from] std::io::Error),
    }

    #[derive(Debug, thiserror::Error)]
    #[error("not greeted")]
    struct NotGreeted(#[source] MailError);

    #[test]
    fn the_outermost_known_error_says_the_kind() {
        let mut classifiers = Classifiers::default();
        assert_eq!(classifiers.kind(&MailError::Refused), None);
        classifiers.add(|_: &std::io::Error| FailureKind::Outage);
        let io = || MailError::Io(std::io::ErrorKind::NotFound.into());
        assert_eq!(classifiers.kind(&MailError::Refused), None);
        assert_eq!(classifiers.kind(&NotGreeted(io())), Some(FailureKind::Outage));
        classifiers.add(|error: &MailError| match error {
            MailError::Refused => FailureKind::Permanent,
            MailError::Io(_) => FailureKind::Transient,
        });
        assert_eq!(classifiers.kind(&NotGreeted(MailError::Refused)), Some(FailureKind::Permanent));
        assert_eq!(classifiers.kind(&NotGreeted(io())), Some(FailureKind::Transient));
    }
}
