//! Questions to a cluster that the wrapper does not ask: groups, their offsets, where partitions end.
//!
//! Each blocks until the answer is there, so none is called on a runtime's own threads.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;
use sys::rd_kafka_admin_op_t as Operation;

/// How much longer than the request itself its answer is waited for.
const MARGIN: Duration = Duration::from_secs(1);

/// A partition with an offset, as librdkafka lists it.
pub(in super::super) struct Place {
    pub(in super::super) topic: String,
    pub(in super::super) partition: i32,
    pub(in super::super) offset: i64,
    pub(in super::super) error: Option<RDKafkaErrorCode>,
}

/// A group as its coordinator describes it.
pub(in super::super) struct DescribedGroup {
    pub(in super::super) state: String,
    pub(in super::super) dead: bool,
    pub(in super::super) assignor: String,
    pub(in super::super) members: Vec<DescribedMember>,
}

/// A member of it.
pub(in super::super) struct DescribedMember {
    pub(in super::super) id: String,
    pub(in super::super) instance: String,
    pub(in super::super) client: String,
    pub(in super::super) host: String,
    pub(in super::super) partitions: Vec<Place>,
}

type Answer<T> = Result<T, RDKafkaErrorCode>;

/// The names and states of all groups.
///
/// # Errors
/// The code says why a broker did not answer.
pub(in super::super) fn groups<C: ClientContext>(
    client: &Client<C>,
    within: Duration,
) -> Answer<Vec<(String, String)>> {
    let operation = Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS;
    // SAFETY: client, options and queue are alive during the call, which keeps what it needs.
    let ask = |options, queue| unsafe {
        sys::rd_kafka_ListConsumerGroups(client.native_ptr(), options, queue);
    };
    question(client, operation, within, ask, |event| {
        let mut count = 0;
        // SAFETY: the event answers this question and is alive; what is read of it is copied.
        unsafe {
            let result = sys::rd_kafka_event_ListConsumerGroups_result(event);
            let errors = sys::rd_kafka_ListConsumerGroups_result_errors(result, &mut count);
            if count > 0 {
                return Err(sys::rd_kafka_error_code(*errors).into());
            }
            let groups = sys::rd_kafka_ListConsumerGroups_result_valid(result, &mut count);
            let groups = (0..count).map(|index| {
                let group = *groups.add(index);
                let state = sys::rd_kafka_ConsumerGroupListing_state(group);
                let state = sys::rd_kafka_consumer_group_state_name(state);
                (text(sys::rd_kafka_ConsumerGroupListing_group_id(group)), text(state))
            });
            Ok(groups.collect())
        }
    })
}

/// A group's state and members.
///
/// # Errors
/// The code says why its coordinator did not answer.
pub(in super::super) fn group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    within: Duration,
) -> Answer<DescribedGroup> {
    let name = CString::new(group).map_err(|_| RDKafkaErrorCode::InvalidGroupId)?;
    let mut names = [name.as_ptr()];
    let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: as above; the names are copied during the call.
    let ask = |options, queue| unsafe {
        sys::rd_kafka_DescribeConsumerGroups(
            client.native_ptr(),
            names.as_mut_ptr(),
            names.len(),
            options,
            queue,
        );
    };
    question(client, operation, within, ask, |event| {
        let mut count = 0;
        // SAFETY: the event answers this question and is alive; what is read of it is copied.
        unsafe {
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
            if count == 0 {
                return Err(RDKafkaErrorCode::GroupIdNotFound);
            }
            let group = *groups;
            check(sys::rd_kafka_ConsumerGroupDescription_error(group))?;
            let state = sys::rd_kafka_ConsumerGroupDescription_state(group);
            let dead = sys::rd_kafka_consumer_group_state_t::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD;
            let members = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
            Ok(DescribedGroup {
                dead: state == dead,
                state: text(sys::rd_kafka_consumer_group_state_name(state)),
                assignor: text(sys::rd_kafka_ConsumerGroupDescription_partition_assignor(group)),
                members: (0..members)
                    .map(|index| {
                        member(sys::rd_kafka_ConsumerGroupDescription_member(group, index))
                    })
                    .collect(),
            })
        }
    })
}

/// # Safety
/// `member` is one of a description that is alive.
unsafe fn member(member: *const sys::rd_kafka_MemberDescription_t) -> DescribedMember {
    // SAFETY: the caller's promise; all that is read is copied.
    unsafe {
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let partitions = match assignment.is_null() {
            true => ptr::null(),
            false => sys::rd_kafka_MemberAssignment_partitions(assignment),
        };
        DescribedMember {
            id: text(sys::rd_kafka_MemberDescription_consumer_id(member)),
            instance: text(sys::rd_kafka_MemberDescription_group_instance_id(member)),
            client: text(sys::rd_kafka_MemberDescription_client_id(member)),
            host: text(sys::rd_kafka_MemberDescription_host(member)),
            partitions: places(partitions),
        }
    }
}

/// The offsets that a group has committed of these partitions; of all where none are named.
///
/// # Errors
/// The code says why its coordinator did not answer.
pub(in super::super) fn committed<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    partitions: Option<&TopicPartitionList>,
    within: Duration,
) -> Answer<Vec<Place>> {
    let name = CString::new(group).map_err(|_| RDKafkaErrorCode::InvalidGroupId)?;
    let partitions = partitions.map_or(ptr::null(), |list| list.ptr().cast_const());
    // SAFETY: name and list are copied during the call; without a list all are asked for.
    let mut asked =
        unsafe { sys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), partitions) };
    let operation = Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
    // SAFETY: as above; the question is copied during the call.
    let ask = |options, queue| unsafe {
        sys::rd_kafka_ListConsumerGroupOffsets(client.native_ptr(), &mut asked, 1, options, queue);
        sys::rd_kafka_ListConsumerGroupOffsets_destroy(asked);
    };
    question(client, operation, within, ask, |event| {
        let mut count = 0;
        // SAFETY: the event answers this question and is alive; what is read of it is copied.
        unsafe {
            let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event);
            let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
            if count == 0 {
                return Ok(Vec::new());
            }
            check(sys::rd_kafka_group_result_error(*groups))?;
            Ok(places(sys::rd_kafka_group_result_partitions(*groups)))
        }
    })
}

/// A topic's id, as Kafka's tools write it; `None` where the broker, or the topic, has none.
///
/// # Errors
/// The code says why the broker did not answer, or does not tell it.
pub(in super::super) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    within: Duration,
) -> Answer<Option<String>> {
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut names = [name.as_ptr()];
    let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: as above; the names are copied into the collection, and that during the call.
    let ask = |options, queue| unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        sys::rd_kafka_DescribeTopics(client.native_ptr(), topics, options, queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
    };
    question(client, operation, within, ask, |event| {
        let mut count = 0;
        // SAFETY: the event answers this question and is alive; what is read of it is copied.
        unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(event);
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            if count == 0 {
                return Ok(None);
            }
            check(sys::rd_kafka_TopicDescription_error(*topics))?;
            let id = sys::rd_kafka_TopicDescription_topic_id(*topics);
            // A broker that knows no ids leaves all of its bits at zero.
            let none = id.is_null()
                || sys::rd_kafka_Uuid_most_significant_bits(id) == 0
                    && sys::rd_kafka_Uuid_least_significant_bits(id) == 0;
            Ok((!none).then(|| as_tools_write(&text(sys::rd_kafka_Uuid_base64str(id)))))
        }
    })
}

/// The client writes ids in the standard alphabet of Base64, Kafka's tools in the one for addresses.
fn as_tools_write(id: &str) -> String {
    id.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// Offsets of partitions, asked for by a time in milliseconds, or as librdkafka's first (-2) or next (-1)
/// one. A time behind the last record's answers -1.
///
/// # Errors
/// The code says why the brokers did not answer.
pub(in super::super) fn offsets<C: ClientContext>(
    client: &Client<C>,
    wanted: &TopicPartitionList,
    within: Duration,
) -> Answer<Vec<Place>> {
    let operation = Operation::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
    // SAFETY: as above; the list is copied during the call.
    let ask = |options, queue| unsafe {
        sys::rd_kafka_ListOffsets(client.native_ptr(), wanted.ptr(), options, queue);
    };
    question(client, operation, within, ask, |event| {
        let mut count = 0;
        // SAFETY: the event answers this question and is alive; what is read of it is copied.
        unsafe {
            let result = sys::rd_kafka_event_ListOffsets_result(event);
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
            let places = (0..count).map(|index| {
                place(&*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(index)))
            });
            Ok(places.collect())
        }
    })
}

/// Sends a question and reads the event that answers it, on a queue of its own.
fn question<C: ClientContext, T>(
    client: &Client<C>,
    operation: Operation,
    within: Duration,
    ask: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(*mut sys::rd_kafka_event_t) -> Answer<T>,
) -> Answer<T> {
    let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    let mut refused: [c_char; 256] = [0; 256];
    // SAFETY: the client is alive; queue and options are ours until they are destroyed below, which is
    // after the last use of each, and the answer comes to this queue only. A time-out that librdkafka
    // refuses leaves its own.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client.native_ptr());
        let options = sys::rd_kafka_AdminOptions_new(client.native_ptr(), operation);
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(within),
            refused.as_mut_ptr(),
            refused.len(),
        );
        ask(options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(within + MARGIN));
        let answer = if event.is_null() {
            Err(RDKafkaErrorCode::OperationTimedOut)
        } else {
            let answer = match sys::rd_kafka_event_error(event) {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => read(event),
                error => Err(error.into()),
            };
            sys::rd_kafka_event_destroy(event);
            answer
        };
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// `error` is null, or alive.
unsafe fn check(error: *const sys::rd_kafka_error_t) -> Answer<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    match unsafe { sys::rd_kafka_error_code(error) } {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

/// # Safety
/// `list` is null, or alive.
unsafe fn places(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Place> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise; librdkafka says that there are `cnt` elements.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or_default();
        (0..count).map(|index| place(&*(*list).elems.add(index))).collect()
    }
}

fn place(element: &sys::rd_kafka_topic_partition_t) -> Place {
    Place {
        // SAFETY: librdkafka gives every partition its topic's name.
        topic: unsafe { text(element.topic) },
        partition: element.partition,
        offset: element.offset,
        error: match element.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            error => Some(error.into()),
        },
    }
}

/// # Safety
/// `text` is null, or a C string that is alive.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topics_id_is_in_the_alphabet_of_kafkas_tools() {
        // In groups of six bits: 62 ten times, then 63.
        let bits = i64::from_be_bytes([0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe, 0xfb, 0xef]);
        // SAFETY: the id is made here, read while it is alive, and destroyed once.
        let id = unsafe {
            let id = sys::rd_kafka_Uuid_new(bits, -1);
            let written = text(sys::rd_kafka_Uuid_base64str(id));
            sys::rd_kafka_Uuid_destroy(id);
            written
        };
        assert_eq!(as_tools_write(&id), "----------___________w");
    }
}
