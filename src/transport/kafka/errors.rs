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
    let class = match (&error, error.rdkafka_error_code()) {
        (KafkaError::MessageConsumptionFatal(_), _) => ErrorClass::Fatal,
        (_, Some(code)) => class(code),
        _ => ErrorClass::Permanent,
    };
    TransportError { what: what.into(), class, source: Some(error.into()) }
}
