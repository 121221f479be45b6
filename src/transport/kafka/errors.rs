//! librdkafka's errors in our classes.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::error::ErrorClass;
use crate::transport::TransportError;

/// What can be done about an error code.
pub(super) fn class(code: Code) -> ErrorClass {
    match code {
        // The client says so itself, or another producer took over its id.
        Code::Fatal | Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
            ErrorClass::Fatal
        }
        // The record or the settings are wrong; the same call fails each time.
        Code::MessageSizeTooLarge
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::InvalidTopic
        | Code::InvalidArgument
        | Code::InvalidRequiredAcks
        | Code::PolicyViolation
        | Code::InvalidConfig
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::Authentication
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion => ErrorClass::Permanent,
        // Brokers and leaders come back; a code that is not listed is worth another try.
        _ => ErrorClass::Retriable,
    }
}

/// An error of the wrapper with what was tried.
pub(super) fn transport_error(what: impl Into<String>, error: KafkaError) -> TransportError {
    // The wrapper knows the code of an admin operation and does not answer it.
    let code = match &error {
        KafkaError::AdminOp(code) => Some(*code),
        _ => error.rdkafka_error_code(),
    };
    let class = match (&error, code) {
        (KafkaError::MessageConsumptionFatal(_), _) => ErrorClass::Fatal,
        (_, Some(code)) => class(code),
        _ => ErrorClass::Permanent,
    };
    TransportError { what: what.into(), class, source: Some(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_goes_while_it_is_asked_to_make_topics_is_worth_another_try() {
        for (code, is) in [
            (Code::BrokerTransportFailure, ErrorClass::Retriable),
            (Code::OperationTimedOut, ErrorClass::Retriable),
            (Code::ClusterAuthorizationFailed, ErrorClass::Permanent),
        ] {
            assert_eq!(transport_error("", KafkaError::AdminOp(code)).class, is, "{code}");
        }
    }
}
