//! Error types whose kind of failure is known, so that a handler need not say it each time.

use std::error::Error;

use super::outcome::FailureKind;
use crate::error::ErrorClass;
use crate::producer::{AttemptError, SendError};
use crate::publisher::PublishError;
use crate::transport::ProduceError;

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

    /// The kind of an error, or of the outermost of its causes that one is known of: what was said of it
    /// comes before what is known without that.
    pub(super) fn kind(&self, error: &(dyn Error + 'static)) -> Option<FailureKind> {
        self.said(error).or_else(|| of_publishing(error))
    }

    fn said(&self, error: &(dyn Error + 'static)) -> Option<FailureKind> {
        let known = self.0.iter().find_map(|classifier| classifier(error));
        known.or_else(|| self.said(error.source()?))
    }
}

/// What an input or an event fails with because something was not published. What may be published later is an
/// outage: the broker is away, and what is handled meanwhile is kept, not pushed to the dead letters by that.
pub(crate) fn unpublished(class: ErrorClass) -> FailureKind {
    match class {
        ErrorClass::Permanent => FailureKind::Permanent,
        ErrorClass::Retriable | ErrorClass::Fatal => FailureKind::Outage,
    }
}

/// The same of an error that says, or is caused by one that says, that something was not published.
fn of_publishing(error: &(dyn Error + 'static)) -> Option<FailureKind> {
    let class = if let Some(error) = error.downcast_ref::<PublishError>() {
        Some(error.class())
    } else if let Some(error) = error.downcast_ref::<ProduceError>() {
        Some(error.class())
    } else {
        match error.downcast_ref::<SendError>() {
            // A layer of the user's is not the broker.
            Some(SendError::NotAcknowledged { source: AttemptError::Layer(_), .. }) => return None,
            error => error.map(SendError::class),
        }
    };
    class.map(unpublished).or_else(|| of_publishing(error.source()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{EventId, TopicName};
    use crate::producer::MessageId;

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

    #[derive(Debug, thiserror::Error)]
    #[error("not told")]
    struct NotTold(#[source] PublishError);

    fn not_told(source: ProduceError) -> NotTold {
        NotTold(PublishError::NotAcknowledged { id: EventId::new(), source })
    }

    #[test]
    fn what_was_not_published_is_an_outage_where_it_may_be_later_and_else_permanent() {
        let classifiers = Classifiers::default();
        let waited = Duration::from_secs(1);
        let topic = TopicName::from_static("orders");
        let refused =
            |class| ProduceError::Refused { topic: topic.clone(), class, reason: String::new() };
        let too_large = ProduceError::TooLarge { topic: topic.clone(), reason: String::new() };
        for (error, kind) in [
            (ProduceError::NoAnswer { waited }, FailureKind::Outage),
            (ProduceError::QueueFull { waited }, FailureKind::Outage),
            (ProduceError::Closed, FailureKind::Outage),
            (refused(ErrorClass::Retriable), FailureKind::Outage),
            (refused(ErrorClass::Permanent), FailureKind::Permanent),
            (too_large, FailureKind::Permanent),
        ] {
            assert_eq!(classifiers.kind(&error), Some(kind), "{error}");
            let sent = |source| SendError::NotAcknowledged {
                id: MessageId::new(),
                attempts: 1,
                indefinite: false,
                dead_letter: None,
                source,
            };
            let message = sent(AttemptError::NotAcknowledged(error.clone()));
            assert_eq!(classifiers.kind(&message), Some(kind), "{error}");
            assert_eq!(classifiers.kind(&sent(AttemptError::Layer("no".into()))), None);
            assert_eq!(classifiers.kind(&not_told(error)), Some(kind));
        }
    }

    #[test]
    fn what_was_said_of_a_type_stands_before_what_is_known_of_publishing() {
        let mut classifiers = Classifiers::default();
        let error = not_told(ProduceError::NoAnswer { waited: Duration::from_secs(1) });
        classifiers.add(|_: &ProduceError| FailureKind::Transient);
        assert_eq!(classifiers.kind(&error), Some(FailureKind::Transient));
    }
}
