//! From plain messages to records.

use super::Message;
use crate::event::{Flow, Headers, TraceContext, header};
use crate::transport::Record;

/// The message as a record, as a consequence of `flow`, within `trace` where there is one.
pub(super) fn record(message: &Message, flow: &Flow, trace: Option<&TraceContext>) -> Record {
    Record {
        topic: message.topic.clone(),
        partition: message.partition,
        key: message.key.clone(),
        payload: message.value.clone(),
        headers: headers(message, flow, trace.or(flow.trace.as_ref())),
        timestamp: None,
    }
}

/// What Tidings says, none of it where it would say a default; then the message's own.
fn headers(message: &Message, flow: &Flow, trace: Option<&TraceContext>) -> Headers {
    let own = &message.headers;
    let mut headers = Headers::with_capacity(own.len() + 6, own.size() + 384);
    message.id.with_str(|id| headers.push(header::MESSAGE_ID, id));
    if let Some(content_type) = &message.content_type {
        headers.push(header::CONTENT_TYPE, &**content_type);
    }
    if let Some(id) = flow.correlation_id.as_ref().filter(|id| **id != message.id) {
        id.with_str(|id| headers.push(header::PLAIN_CORRELATION_ID, id));
    }
    if let Some(id) = &flow.causation_id {
        id.with_str(|id| headers.push(header::PLAIN_CAUSATION_ID, id));
    }
    if let Some(trace) = trace {
        headers.push(header::TRACEPARENT, trace.traceparent());
        if let Some(state) = trace.tracestate() {
            headers.push(header::TRACESTATE, state);
        }
    }
    own.iter().for_each(|(name, value)| headers.push_raw(name, value));
    headers
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use super::*;
    use crate::codec::cloudevents::{self, Place};
    use crate::event::{EventId, TopicName};
    use crate::producer::MessageId;

    fn names(headers: &Headers) -> Vec<String> {
        headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    fn message() -> Message {
        Message::new(TopicName::from_static("t"), &7).unwrap()
    }

    #[test]
    fn a_header_that_would_say_its_default_is_not_written() {
        let record = record(&message().header("mine", "1"), &Flow::default(), None);
        assert_eq!(names(&record.headers), ["message-id", "content-type", "mine"]);
        let nothing = Message::tombstone(TopicName::from_static("t"), "k");
        let record = super::record(&nothing, &Flow::default(), None);
        assert_eq!(names(&record.headers), ["message-id"]);
        assert_eq!((record.key.as_deref(), record.payload), (Some(&b"k"[..]), None));
    }

    #[test]
    fn what_is_written_is_what_is_read_as_metadata_of_a_plain_record() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let flow = Flow {
            correlation_id: Some(EventId::new()),
            causation_id: Some(EventId::new()),
            tenant: None,
            trace: TraceContext::parse(parent, Some("a=b")).ok(),
        };
        let message = message().id(MessageId::parse("m-7").unwrap());
        let record = record(&message, &flow, None);
        let place = Place { topic: "t", partition: 0, offset: 1, timestamp: None };
        let read = cloudevents::read(&record.headers, record.payload, place).unwrap();
        assert!(read.plain);
        assert_eq!(read.metadata.id.to_string(), "m-7");
        assert_eq!(Some(read.metadata.correlation_id), flow.correlation_id);
        assert_eq!(read.metadata.causation_id, flow.causation_id);
        assert_eq!(read.metadata.trace, flow.trace);
    }
}
