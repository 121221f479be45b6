//! The only unsafe code: what librdkafka can do and its Rust wrapper cannot.
//!
//! The wrapper panics on a header name that is not UTF-8, cannot write one, and looks a topic up by
//! name for each record; here headers are read and written as bytes and topic handles are kept.
#![allow(unsafe_code)]

pub(super) mod questions;

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rdkafka::client::{Client, ClientContext};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafka, RDKafkaErrorCode, RDKafkaHeaders, RDKafkaRespErr, RDKafkaTopic};
use rdkafka_sys as sys;

use crate::event::{Headers, TopicName};
use crate::transport::Record;

/// The librdkafka whose header layout [`name_bytes`] knows: 2.12.1, as bundled.
const KNOWN_LAYOUT: i32 = 0x020c_01ff;

/// The partition number that lets the partitioner decide (`RD_KAFKA_PARTITION_UA`).
const UNASSIGNED: i32 = -1;

/// The headers of a message that was read, byte for byte, in the room of `buffer`.
pub(super) fn headers(message: &BorrowedMessage<'_>, buffer: &mut BytesMut) -> Headers {
    let mut native: *mut RDKafkaHeaders = ptr::null_mut();
    // SAFETY: the message is alive for the whole call, and `native` is only written.
    let found = unsafe { sys::rd_kafka_message_headers(message.ptr(), &mut native) };
    if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || native.is_null() {
        return Headers::default();
    }
    // SAFETY: `native` belongs to the message, which outlives this function.
    let count = unsafe { sys::rd_kafka_header_cnt(native) };
    // SAFETY: the call has no conditions.
    let known_layout = unsafe { sys::rd_kafka_version() } == KNOWN_LAYOUT;
    Headers::within(buffer, |headers| {
        for index in 0..count {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the three out-pointers are valid; name and value point into the message's headers.
            let found = unsafe {
                sys::rd_kafka_header_get_all(native, index, &mut name, &mut value, &mut size)
            };
            if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: librdkafka says that `value` has `size` bytes, and a null value has none.
            let value = (!value.is_null())
                .then(|| unsafe { std::slice::from_raw_parts(value.cast(), size) });
            // SAFETY: `name` is what `rd_kafka_header_get_all` has just answered beside this value.
            headers.push_raw(unsafe { name_bytes(name, value, known_layout) }, value);
        }
    })
}

/// A header's whole name. librdkafka answers it as a C string, which hides what stands behind a NUL;
/// the length is kept beside it, in a layout that is checked before it is believed.
///
/// # Safety
/// `name` and `value` are as answered by `rd_kafka_header_get_all` for a header that is alive, and
/// `known_layout` only where the library is the one of [`KNOWN_LAYOUT`].
unsafe fn name_bytes<'a>(
    name: *const c_char,
    value: Option<&[u8]>,
    known_layout: bool,
) -> &'a [u8] {
    // SAFETY: librdkafka ends every name with a NUL.
    let visible = unsafe { CStr::from_ptr(name) }.to_bytes();
    if !known_layout {
        return visible;
    }
    // SAFETY: in the known version `rd_kafka_header_t` is {ser_size, value_size, name_size, value,
    // name[]}: three words before the name are part of the same allocation and aligned.
    let (value_size, name_size, stored) = unsafe {
        let words = name.cast::<usize>();
        (
            words.sub(3).read_unaligned(),
            words.sub(2).read_unaligned(),
            words.sub(1).read_unaligned() as *const u8,
        )
    };
    let matches = match value {
        Some(value) => stored == value.as_ptr() && value_size == value.len(),
        None => stored.is_null() && value_size == 0,
    };
    if !matches || name_size < visible.len() {
        return visible;
    }
    // SAFETY: the fields around it were what they had to be, so this is the name's length.
    unsafe { std::slice::from_raw_parts(name.cast(), name_size) }
}

/// A topic's handle, looked up once.
pub(super) struct TopicHandle(NonNull<RDKafkaTopic>);

// SAFETY: librdkafka's topic objects are reference counted and may be used from any thread.
unsafe impl Send for TopicHandle {}
// SAFETY: as above.
unsafe impl Sync for TopicHandle {}

impl TopicHandle {
    /// The handle of a topic; `None` where librdkafka refuses the name.
    pub(super) fn new<C: ClientContext>(client: &Client<C>, topic: &str) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client is alive, the name is a C string, and no configuration is handed over.
        let handle = unsafe {
            sys::rd_kafka_topic_new(client.native_ptr(), topic.as_ptr(), ptr::null_mut())
        };
        NonNull::new(handle).map(Self)
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: this handle owns one reference, given by `rd_kafka_topic_new`.
        unsafe { sys::rd_kafka_topic_destroy(self.0.as_ptr()) };
    }
}

/// What goes with a record through librdkafka, and the payload that it reads until it gives that back.
pub(super) struct Loan<T> {
    _payload: Option<Bytes>,
    pub(super) with: T,
}

/// Queues the record: a copy of its headers and key, and its payload as it lies. `with` goes along and comes
/// back with the delivery report.
///
/// # Errors
/// The code says why it was not queued; `with` comes back with it.
pub(super) fn produce<C: ClientContext, T>(
    client: &Client<C>,
    topic: &TopicHandle,
    record: &Record,
    with: T,
) -> Result<(), (RDKafkaErrorCode, T)> {
    let headers = native_headers(&record.headers);
    let (payload, payload_len) = raw(record.payload.as_deref());
    let (key, key_len) = raw(record.key.as_deref());
    let opaque = Box::into_raw(Box::new(Loan { _payload: record.payload.clone(), with }));
    // SAFETY: each tag is followed by the arguments that it asks for; the key is copied during the call, the
    // payload's bytes are kept where they are by the loan, which librdkafka has until the delivery report,
    // and the headers are librdkafka's from a successful call on.
    let error = unsafe {
        sys::rd_kafka_producev(
            client.native_ptr(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
            topic.0.as_ptr(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
            record.partition.unwrap_or(UNASSIGNED),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
            payload,
            payload_len,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
            key,
            key_len,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
            record.timestamp.unwrap_or(0),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
            headers,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE,
            opaque.cast::<c_void>(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
        )
    };
    if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    if !headers.is_null() {
        // SAFETY: the call failed, so the headers are still ours.
        unsafe { sys::rd_kafka_headers_destroy(headers) };
    }
    // SAFETY: made by `Box::into_raw` above, and the failed call has not kept it.
    Err((error.into(), unsafe { Box::from_raw(opaque) }.with))
}

fn raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| (bytes.as_ptr() as *mut c_void, bytes.len()))
}

fn native_headers(headers: &Headers) -> *mut RDKafkaHeaders {
    if headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: makes a new list that is ours until it is handed over.
    let native = unsafe { sys::rd_kafka_headers_new(headers.len()) };
    for (name, value) in headers.iter() {
        let (value, size) = raw(value);
        // SAFETY: librdkafka copies `name` and `value` of the given sizes before it returns; a null
        // value stays null.
        unsafe {
            sys::rd_kafka_header_add(
                native,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                value,
                size.cast_signed(),
            );
        }
    }
    native
}

/// Sends a commit; its outcome comes as an event on the consumer's own queue.
///
/// The wrapper's asynchronous commit asks for no answer at all: with events enabled librdkafka
/// reports a commit only to the queue that it was given with the call.
///
/// # Errors
/// The code says why it was not sent.
pub(super) fn commit<C: ClientContext>(
    client: &Client<C>,
    offsets: &TopicPartitionList,
) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: the client is alive and is a consumer with a group; the queue is released below.
    let queue = unsafe { sys::rd_kafka_queue_get_consumer(client.native_ptr()) };
    if queue.is_null() {
        return Err(RDKafkaErrorCode::UnknownGroup);
    }
    // SAFETY: the list is copied during the call; without a callback there is no opaque to keep; the
    // call holds a reference of its own to the queue.
    let error = unsafe {
        let error = sys::rd_kafka_commit_queue(
            client.native_ptr(),
            offsets.ptr(),
            queue,
            None,
            ptr::null_mut(),
        );
        sys::rd_kafka_queue_destroy(queue);
        error
    };
    match error {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(error.into()),
    }
}

/// Asks the broker for its metadata, of the topics that the client knows anyway.
///
/// # Errors
/// The code says why no answer came within `within`.
pub(super) fn ask_broker<C: ClientContext>(
    client: &Client<C>,
    within: Duration,
) -> Result<(), RDKafkaErrorCode> {
    ask(client, None, within)
}

/// Asks the broker for the metadata of one topic, which the client need not know and nobody makes for it.
///
/// # Errors
/// The code says why no answer came within `within`.
pub(super) fn ask_of_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &TopicName,
    within: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let topic = TopicHandle::new(client, topic.as_str()).ok_or(RDKafkaErrorCode::InvalidTopic)?;
    ask(client, Some(&topic), within)
}

fn ask<C: ClientContext>(
    client: &Client<C>,
    only: Option<&TopicHandle>,
    within: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let native: *mut RDKafka = client.native_ptr();
    let only = only.map_or(ptr::null_mut(), |topic| topic.0.as_ptr());
    let mut metadata = ptr::null();
    let within = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client and the topic are alive; `metadata` is written on success only and destroyed then.
    let error = unsafe { sys::rd_kafka_metadata(native, 0, only, &mut metadata, within) };
    if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(error.into());
    }
    // SAFETY: the call succeeded, so this is the metadata that it allocated for us.
    unsafe { sys::rd_kafka_metadata_destroy(metadata) };
    Ok(())
}

/// Tells the client these servers, beside those that it knows.
pub(super) fn add_brokers<C: ClientContext>(client: &Client<C>, servers: &CStr) {
    // SAFETY: the client is alive, and copies the list.
    unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
}

/// Where a partition begins and ends, as a fetch has said last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watermarks {
    pub(super) first: i64,
    pub(super) end: i64,
}

/// What the client knows of a partition, without asking the broker; `None` where it knows nothing yet.
pub(super) fn known_watermarks<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<Watermarks> {
    let topic = CString::new(topic).ok()?;
    let (mut first, mut end) = (-1, -1);
    // SAFETY: the client is alive, the name ends with a NUL, and both out-pointers are valid.
    let error = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &mut first,
            &mut end,
        )
    };
    let known = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0;
    known.then_some(Watermarks { first: first.max(0), end })
}

/// Tells the mock cluster of a client how long a group that begins waits for more members.
///
/// # Panics
/// When the client was made without a mock cluster.
pub(super) fn gather_groups_for<C: ClientContext>(client: &Client<C>, wait: Duration) {
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive, and its cluster lives as long as it does.
    let cluster = unsafe { sys::rd_kafka_handle_mock_cluster(client.native_ptr()) };
    assert!(!cluster.is_null(), "the client has a mock cluster");
    // SAFETY: the cluster is alive; the call takes its lock.
    unsafe { sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, wait) };
}
