//! librdkafka's errors in our classes: one table, with the reason for each.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::error::ErrorClass;
use crate::transport::TransportError;

/// An error code of librdkafka, or of a broker through it, and what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// Its name.
    pub name: &'static str,
    /// Its number: below 0 the client's own, from 0 up the Kafka protocol's.
    pub number: i32,
    /// What can be done about it.
    pub class: ErrorClass,
    /// Why that is its class.
    pub reason: &'static str,
}

macro_rules! codes {
    ($($class:ident { $($code:ident $reason:literal;)+ })+) => {
        /// Every code that librdkafka knows, by class. One that a later version adds is worth another try.
        pub const ERROR_CODES: &[ErrorCode] = &[$($(ErrorCode {
            name: stringify!($code),
            number: Code::$code as i32,
            class: ErrorClass::$class,
            reason: $reason,
        },)+)+];

        /// What can be done about an error code.
        pub(super) fn class(code: Code) -> ErrorClass {
            match code {
                $($(Code::$code)|+ => ErrorClass::$class,)+
                _ => ErrorClass::Retriable,
            }
        }
    };
}

codes! {
    Retriable {
        BrokerDestroy "a broker's thread ends; another one is asked";
        Fail "the client does not say what it was";
        BrokerTransportFailure "a connection broke; the client opens it again";
        CriticalSystemResource "memory or files ran out on this machine, and may be free again";
        Resolve "the name service had no answer for a broker";
        MessageTimedOut "no acknowledgement within the message time-out; it may be stored or not";
        PartitionEOF "the end of a partition for now; no error";
        FileSystem "a file could not be read or written now";
        AllBrokersDown "no broker is connected; they come back";
        OperationTimedOut "no answer in time";
        QueueFull "the client's queue empties as brokers take records";
        ISRInsufficient "fewer replicas are in sync than the acknowledgement asks for; they catch up";
        NodeUpdate "the client learns of a broker; no error";
        SSL "a handshake broke; a certificate may be replaced while the client runs";
        WaitingForCoordinator "the group's coordinator is being looked for";
        UnknownGroup "the group is not known to its coordinator yet";
        InProgress "the same operation is running";
        PreviousInProgress "the operation before it is running";
        ExistingSubscription "the subscription before it is still there";
        AssignPartitions "a rebalance; no error";
        RevokePartitions "a rebalance; no error";
        Conflict "two operations met";
        State "not now: the client is in another state";
        NoOffset "nothing is stored to be committed";
        Outdated "what was answered is older than what is known; it is asked for again";
        TimedOutQueue "it waited too long in the client; it was not sent";
        WaitCache "the client is learning about the topic";
        Interrupted "the call was interrupted";
        Partial "a part of the answer came";
        NoEnt "it is not there now";
        Underflow "an answer was cut off; it is asked for again";
        Retry "the client asks for another try itself";
        PurgeQueue "taken out of the queue; a close says so as closed";
        PurgeInflight "taken back on its way; a close says so as closed";
        PollExceeded "the member was away for too long and joins again";
        UnknownBroker "a broker that is not known yet";
        AssignmentLost "the group gave the partitions to others; the member joins again";
        Noop "nothing was done; no error";
        LogTruncation "a leader lost the end of its log; the position is looked up again";
        InvalidDifferentRecord "another record of the batch was refused; this one is well";
        DestroyBroker "a connection ends while the client goes on";
        BadMessage "an answer arrived damaged; it is asked for again";
        Unknown "the broker does not say what it was";
        NoError "no error";
        OffsetOutOfRange "the log has moved on; the position is looked up again";
        LeaderNotAvailable "a leader is being elected";
        NotLeaderForPartition "the leader has moved; the client looks for it";
        RequestTimedOut "the broker had no answer from its replicas in time";
        BrokerNotAvailable "the broker is starting or going";
        ReplicaNotAvailable "a replica is being moved or is starting";
        StaleControllerEpoch "the controller has changed";
        NetworkException "the connection broke before the answer";
        CoordinatorLoadInProgress "the coordinator is loading";
        CoordinatorNotAvailable "the coordinator is starting or moving";
        NotCoordinator "the coordinator has moved; the client looks for it";
        NotEnoughReplicas "fewer replicas are in sync than min.insync.replicas; they catch up";
        NotEnoughReplicasAfterAppend "stored, and too few replicas have it yet";
        IllegalGeneration "the group has gone on; the member joins again";
        UnknownMemberId "the group has thrown the member out; it joins again";
        RebalanceInProgress "the group is rebalancing";
        InvalidCommitOffsetSize "the commit was too large for the coordinator's log now";
        NotController "the controller has moved; the client looks for it";
        ConcurrentTransactions "the transaction before it is being ended";
        OperationNotAttempted "another part of the request failed first";
        KafkaStorageError "a broker's disk failed; another replica takes over";
        UnknownProducerId "the broker has forgotten the producer; the client begins anew";
        ReassignmentInProgress "partitions are being moved";
        NonEmptyGroup "members may leave";
        GroupIdNotFound "the group is not there yet";
        FetchSessionIdNotFound "the broker has forgotten the fetch session; a new one begins";
        InvalidFetchSessionEpoch "the fetch session is out of step; a new one begins";
        ListenerNotFound "the leader does not listen there yet";
        FencedLeaderEpoch "the client knows an older leader; it looks for the new one";
        UnknownLeaderEpoch "the broker does not know the new leader yet";
        StaleBrokerEpoch "the broker has started anew";
        OffsetNotAvailable "the new leader is catching up";
        MemberIdRequired "the member joins again with the id that it is given";
        PreferredLeaderNotAvailable "the preferred leader is away";
        GroupMaxSizeReached "members may leave";
        EligibleLeadersNotAvailable "no replica can lead now";
        ElectionNotNeeded "the leader is the wanted one; no error";
        NoReassignmentInProgress "nothing is being moved; no error";
        GroupSubscribedToTopic "the group may end its subscription";
        UnstableOffsetCommit "a transaction with these offsets is open";
        ThrottlingQuotaExceeded "a quota is used up for now";
        InconsistentVoterSet "the controllers are being changed";
        FeatureUpdateFailed "the controller could not write it now";
        UnknownTopicId "the topic was made anew; the client looks it up";
        FencedMemberEpoch "the group has gone on; the member joins again";
        UnreleasedInstanceId "the member before it has not left yet";
        StaleMemberEpoch "the group has gone on; the member catches up";
        UnknownSubscriptionId "the broker wants to be asked again what to report";
        RebootstrapRequired "the client starts again from the first brokers";
    }

    Permanent {
        BadCompression "this client cannot unpack what was packed so";
        UnknownPartition "the topic has no such partition";
        UnknownTopic "there is no such topic";
        InvalidArgument "an argument or a setting is wrong";
        UnknownProtocol "the group's protocol is not known here";
        NotImplemented "this client cannot do it";
        Authentication "the broker does not accept who we say we are";
        UnsupportedFeature "the broker cannot do it";
        KeySerialization "the key cannot be written";
        ValueSerialization "the value cannot be written";
        KeyDeserialization "the key cannot be read";
        ValueDeserialization "the value cannot be read";
        ReadOnly "it cannot be changed";
        InvalidType "it is of another type";
        Inconsistent "what was asked contradicts itself";
        NotConfigured "a setting that it needs is not there";
        Application "the application said so itself";
        AutoOffsetReset "there is no offset to start from, and the settings allow no other";
        InvalidMessage "the broker found the record damaged, or without the key that its topic wants";
        UnknownTopicOrPartition "there is no such topic or partition";
        InvalidMessageSize "the size that was said is not the record's";
        MessageSizeTooLarge "the record is larger than its topic takes";
        OffsetMetadataTooLarge "what was to be kept beside the offset is too long";
        InvalidTopic "no topic can have this name, or it is the cluster's own";
        MessageBatchTooLarge "the batch is larger than a segment of the log";
        InvalidRequiredAcks "acks has a value that the broker does not know";
        InconsistentGroupProtocol "the other members use another protocol or strategy";
        InvalidGroupId "no group can have this name";
        InvalidSessionTimeout "the broker does not allow this session time-out";
        TopicAuthorizationFailed "the access list does not allow this topic";
        GroupAuthorizationFailed "the access list does not allow this group";
        ClusterAuthorizationFailed "the access list does not allow this to the cluster";
        InvalidTimestamp "the timestamp is further away than the topic allows";
        UnsupportedSASLMechanism "the broker does not take this SASL mechanism";
        IllegalSASLState "the broker did not expect this in its handshake";
        UnsupportedVersion "client and broker share no version of the request";
        TopicAlreadyExists "the topic is there";
        InvalidPartitions "no topic can have so many partitions";
        InvalidReplicationFactor "there are fewer brokers than copies asked for";
        InvalidReplicaAssignment "replicas cannot lie so";
        InvalidConfig "a setting of the topic or broker is wrong";
        InvalidRequest "the broker does not accept the request as it is";
        UnsupportedForMessageFormat "the topic keeps an older format of records";
        PolicyViolation "a policy of the cluster forbids it";
        InvalidTransactionTimeout "the transaction time-out is longer than the broker allows";
        TransactionalIdAuthorizationFailed "the access list does not allow this transactional id";
        SecurityDisabled "the cluster has no security to be set";
        LogDirNotFound "the broker has no such folder";
        SaslAuthenticationFailed "the user name or password is wrong";
        DelegationTokenAuthDisabled "the cluster has no delegation tokens";
        DelegationTokenNotFound "there is no such token";
        DelegationTokenOwnerMismatch "the token belongs to somebody else";
        DelegationTokenRequestNotAllowed "tokens are not given over this connection";
        DelegationTokenAuthorizationFailed "the access list does not allow the token";
        DelegationTokenExpired "the token is too old";
        InvalidPrincipalType "the broker does not know this kind of user";
        TopicDeletionDisabled "the cluster deletes no topics";
        UnsupportedCompressionType "the broker cannot pack like this";
        InvalidRecord "the broker checked the record and refused it";
        ResourceNotFound "there is no such thing";
        DuplicateResource "the request names one thing twice";
        UnacceptableCredential "the password or its settings are not accepted";
        InvalidUpdateVersion "the version cannot be gone to";
        PrincipalDeserializationFailure "the broker cannot read who is asking";
        UnsupportedAssignor "the broker does not know this strategy";
        TelemetryTooLarge "the report is larger than the broker takes";
    }

    Fatal {
        Fatal "the client says itself that it cannot go on";
        Fenced "another client has taken over this one's id";
        GaplessGuarantee "going on would leave a gap in a partition's order";
        OutOfOrderSequenceNumber "the broker has not seen the record before: one is lost, and going on would hide it";
        DuplicateSequenceNumber "the broker has seen a record of this number before: the client's count is wrong";
        InvalidProducerEpoch "another producer has taken over this one's id";
        InvalidTransactionalState "the transaction is not where the client thinks it is";
        InvalidProducerIdMapping "the transactional id belongs to another producer by now";
        TransactionCoordinatorFenced "the transaction's coordinator was replaced while it wrote";
        FencedInstanceId "another member has this one's name";
        ProducerFenced "a newer producer has the same transactional id";
    }
}

/// Whether a record was refused for its topic or its client, and not for what it is: every other one would be too.
pub(super) fn is_unwritable(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::InvalidRequiredAcks
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedCompressionType
            | Code::UnsupportedVersion
    )
}

/// An error of the wrapper with what was tried.
pub(super) fn transport_error(what: impl Into<String>, error: KafkaError) -> TransportError {
    let class = match (&error, code(&error)) {
        (KafkaError::MessageConsumptionFatal(_), _) => ErrorClass::Fatal,
        (_, Some(code)) => class(code),
        _ => ErrorClass::Permanent,
    };
    TransportError { what: what.into(), class, source: Some(error.into()) }
}

/// The code of an error of the wrapper, which knows that of an admin operation and does not answer it.
fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        _ => error.rdkafka_error_code(),
    }
}

/// An error code as the cause of an error, with what is known about it.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Coded {
    pub(super) code: Code,
    pub(super) text: String,
}

/// Whether nobody has answered: what it was caused by is worth another try and no broker's word. Codes from 0 up are.
#[cfg(feature = "cli")]
pub(crate) fn is_silence(error: &TransportError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let coded = error.downcast_ref::<Coded>().map(|coded| coded.code);
        if let Some(code) = coded.or_else(|| error.downcast_ref().and_then(code)) {
            let is_own = (code as i32) < Code::Unknown as i32;
            return class(code) == ErrorClass::Retriable
                && (is_own || code == Code::NetworkException);
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rdkafka::types::RDKafkaRespErr;

    use super::*;

    #[test]
    fn every_code_that_the_client_knows_is_in_the_table_once() {
        let known = (-300..1_000).filter_map(|number| RDKafkaRespErr::try_from(number).ok());
        // The ends of ranges are no errors.
        let known = known
            .map(Code::from)
            .filter(|code| !matches!(code, Code::Begin | Code::End | Code::EndAll));
        let known: BTreeMap<_, _> = known.map(|code| (code as i32, format!("{code:?}"))).collect();
        assert!(known.len() > 150, "{}", known.len());
        let named = ERROR_CODES.iter().map(|code| (code.number, code.name.to_owned()));
        assert_eq!(named.collect::<BTreeMap<_, _>>(), known);
        assert_eq!(ERROR_CODES.len(), known.len(), "none is there twice");
    }

    #[test]
    fn a_code_has_the_class_of_the_table() {
        for (code, is) in [
            (Code::NotEnoughReplicas, ErrorClass::Retriable),
            (Code::MessageSizeTooLarge, ErrorClass::Permanent),
            (Code::ProducerFenced, ErrorClass::Fatal),
        ] {
            let row = ERROR_CODES.iter().find(|row| row.number == code as i32).unwrap();
            assert_eq!((class(code), row.class), (is, is), "{code}");
        }
    }

    #[test]
    fn what_is_refused_for_its_topic_or_its_client_is_permanent_and_no_fault_of_the_record() {
        let all = ERROR_CODES.iter().map(|row| row.number);
        let codes = all.filter_map(|number| RDKafkaRespErr::try_from(number).ok()).map(Code::from);
        let unwritable: Vec<_> = codes.filter(|code| is_unwritable(*code)).collect();
        assert_eq!(unwritable.len(), 13);
        assert!(unwritable.iter().all(|code| class(*code) == ErrorClass::Permanent));
        for code in [
            Code::InvalidRecord,
            Code::InvalidMessage,
            Code::InvalidTimestamp,
            Code::UnknownPartition,
            Code::InvalidTopic,
            Code::PolicyViolation,
        ] {
            assert!(!is_unwritable(code), "{code}");
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_broker_that_answered_with_an_error_was_not_silent() {
        for (code, is) in [
            (Code::OperationTimedOut, true),
            (Code::BrokerTransportFailure, true),
            (Code::AllBrokersDown, true),
            (Code::NetworkException, true),
            (Code::ThrottlingQuotaExceeded, false),
            (Code::NotController, false),
            (Code::Unknown, false),
            (Code::InvalidArgument, false),
            (Code::TopicAuthorizationFailed, false),
        ] {
            let asked = |source: crate::error::BoxError| TransportError {
                what: String::new(),
                class: ErrorClass::Retriable,
                source: Some(source),
            };
            let coded = || asked(Coded { code, text: String::new() }.into());
            assert_eq!(is_silence(&transport_error("", KafkaError::AdminOp(code))), is, "{code}");
            assert_eq!(is_silence(&coded()), is, "{code}");
            assert_eq!(is_silence(&asked(coded().into())), is, "behind what was tried: {code}");
        }
    }

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
