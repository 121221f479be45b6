//! Plain messages: any value on any topic, with a key, headers and an id of its own.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
#[cfg(feature = "json")]
use serde::Serialize;

use super::MessageId;
use super::key::MessageKey;
#[cfg(feature = "json")]
use crate::codec::{EncodeError, Format};
use crate::event::{Headers, TopicName, header};
#[cfg(feature = "json")]
use crate::topic::{CarriedBy, Topic};

/// The longest name of a header, in bytes.
const NAME_LEN: usize = 256;
/// What bytes are, where nothing else is said.
const BYTES: &str = "application/octet-stream";

/// Headers that are said otherwise, and what says them.
const SAID_OTHERWISE: [(&str, &str); 6] = [
    (header::MESSAGE_ID, "`Message::id`"),
    (header::CONTENT_TYPE, "`Message::content_type`"),
    (header::PLAIN_CORRELATION_ID, "the current `Flow`"),
    (header::PLAIN_CAUSATION_ID, "the current `Flow`"),
    (header::TRACEPARENT, "the current `Flow`"),
    (header::TRACESTATE, "the current `Flow`"),
];

/// A message that is no integration event: any value on any topic.
///
/// It has its id from the beginning, so that it can be looked for before it is sent, and keeps it when it
/// is sent again. What a setter was given wrongly is said by [`check`](Self::check), and by the send.
#[derive(Clone)]
pub struct Message {
    pub(super) topic: TopicName,
    pub(super) partition: Option<i32>,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) content_type: Option<Cow<'static, str>>,
    pub(super) headers: Headers,
    pub(super) id: MessageId,
    problem: Option<InvalidMessage>,
}

/// Why a message cannot be sent as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// An empty key would put all its messages on one partition without anybody having meant it.
    #[error("a message's key must not be empty; leave `key` out where there is none")]
    EmptyKey,
    /// Keys are stored with every record.
    #[error("a message's key has at most {max} bytes, this one has {len}", max = MessageKey::MAX_LEN)]
    LongKey {
        /// Its length in bytes.
        len: usize,
    },
    /// A header's name cannot be one.
    #[error(
        "{name:?} is no name of a header: it has 1 to {NAME_LEN} bytes and no control characters"
    )]
    HeaderName {
        /// Its beginning.
        name: String,
    },
    /// A header that Tidings writes itself.
    #[error("the header {name:?} is not set by hand: {instead}")]
    ReservedHeader {
        /// Its name.
        name: String,
        /// What says it instead.
        instead: Cow<'static, str>,
    },
    /// A content type cannot be one.
    #[error("a content type has 1 to {NAME_LEN} bytes and no control characters")]
    ContentType,
    /// Partitions are counted from 0.
    #[error("there is no partition {partition}; they are counted from 0")]
    Partition {
        /// What was asked for.
        partition: i32,
    },
}

impl Message {
    /// A value of any serde type, as JSON.
    ///
    /// # Errors
    /// When the value cannot be said in JSON.
    #[cfg(feature = "json")]
    pub fn new(topic: TopicName, value: &(impl Serialize + ?Sized)) -> Result<Self, EncodeError> {
        let (format, mut buffer) = (Format::default(), Vec::with_capacity(256));
        format.encode(&value, &mut buffer)?;
        Ok(Self::made(topic, Some(buffer.into()), Some(Cow::Borrowed(format.content_type()))))
    }

    /// A value for a topic that is known as a type. For a topic that does not carry it, it does not compile.
    ///
    /// # Errors
    /// When the value cannot be said in JSON.
    #[cfg(feature = "json")]
    pub fn on<T: Topic>(value: &(impl Serialize + CarriedBy<T>)) -> Result<Self, EncodeError> {
        Self::new(T::NAME, value)
    }

    /// Bytes as they are; their content type is `application/octet-stream`, unless another is said.
    pub fn bytes(topic: TopicName, bytes: impl Into<Bytes>) -> Self {
        Self::made(topic, Some(bytes.into()), Some(Cow::Borrowed(BYTES)))
    }

    /// Says that there is nothing any more under this key: a record without a value.
    pub fn tombstone(topic: TopicName, key: impl Into<MessageKey>) -> Self {
        Self::made(topic, None, None).key(key)
    }

    fn made(
        topic: TopicName,
        value: Option<Bytes>,
        content_type: Option<Cow<'static, str>>,
    ) -> Self {
        Self {
            topic,
            partition: None,
            key: None,
            value,
            content_type,
            headers: Headers::default(),
            id: MessageId::new(),
            problem: None,
        }
    }

    /// Messages of one key are sent in order, whatever partition they name: bytes or text, 1 byte to 32 KiB. Default:
    /// none, and no order.
    #[must_use]
    pub fn key(mut self, key: impl Into<MessageKey>) -> Self {
        let key = key.into().into_bytes();
        match key.len() {
            0 => self.wrong(InvalidMessage::EmptyKey),
            1..=MessageKey::MAX_LEN => {}
            len => self.wrong(InvalidMessage::LongKey { len }),
        }
        self.key = Some(key);
        self
    }

    /// Adds a header after the others; a name may come again. Names are 1 to 256 bytes without control characters.
    /// Those that Tidings writes itself are refused: `ce_…`, `x-retry-…` and their like, the message's own id,
    /// content type, correlation, causation and trace.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        match checked(name.as_ref()) {
            Ok(name) => self.headers.push(name, value),
            Err(problem) => self.wrong(problem),
        }
        self
    }

    /// Its id, instead of the one that was made for it.
    #[must_use]
    pub fn id(mut self, id: impl Into<MessageId>) -> Self {
        self.id = id.into();
        self
    }

    /// To this partition, whatever the key says; messages that name one partition are sent in order, too. Default: the
    /// key decides, and chance where there is none.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        if partition < 0 {
            self.wrong(InvalidMessage::Partition { partition });
        }
        self.partition = Some(partition);
        self
    }

    /// What the bytes are, as `content-type` says it.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<Cow<'static, str>>) -> Self {
        let content_type = content_type.into();
        if !is_text(&content_type) {
            self.wrong(InvalidMessage::ContentType);
        }
        self.content_type = Some(content_type);
        self
    }

    /// Whether it can be sent as it is.
    ///
    /// # Errors
    /// What is wrong with it, first thing first.
    pub fn check(&self) -> Result<(), InvalidMessage> {
        self.problem.clone().map_or(Ok(()), Err)
    }

    fn wrong(&mut self, problem: InvalidMessage) {
        self.problem.get_or_insert(problem);
    }

    /// Where it goes.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// What it is known by.
    pub fn message_id(&self) -> &MessageId {
        &self.id
    }

    /// Its key's bytes.
    pub fn key_bytes(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    /// Its value's bytes; `None` is a tombstone.
    pub fn value(&self) -> Option<&Bytes> {
        self.value.as_ref()
    }

    /// The headers that it was given.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }
}

fn is_text(text: &str) -> bool {
    (1..=NAME_LEN).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn checked(name: &str) -> Result<&str, InvalidMessage> {
    if !is_text(name) {
        return Err(InvalidMessage::HeaderName { name: name.chars().take(64).collect() });
    }
    let said = SAID_OTHERWISE.iter().find(|(ours, _)| *ours == name);
    let instead = match said {
        Some((_, by)) => format!("{by} says it").into(),
        None if name.starts_with("ce_") => "a plain message is no CloudEvent".into(),
        None if header::FAILURE.contains(&name) || header::UNSENT.contains(&name) => {
            "it says how a record failed".into()
        }
        None => return Ok(name),
    };
    Err(InvalidMessage::ReservedHeader { name: name.to_owned(), instead })
}

/// What it holds is not shown: key, value and headers may be secrets of the user's.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("key_len", &self.key.as_ref().map(Bytes::len))
            .field("value_len", &self.value.as_ref().map(Bytes::len))
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use super::*;

    const TOPIC: TopicName = TopicName::from_static("t");

    fn message() -> Message {
        Message::new(TOPIC, &7).unwrap()
    }

    #[test]
    fn a_key_is_bytes_or_text_and_neither_empty_nor_endless() {
        let key =
            |message: Message| message.check().map(|()| message.key_bytes().unwrap().to_vec());
        let id = uuid::Uuid::nil();
        assert_eq!(key(message().key("k")), Ok(b"k".to_vec()));
        assert_eq!(key(message().key(vec![0xff, 0])), Ok(vec![0xff, 0]));
        assert_eq!(key(message().key(id)), Ok(id.to_string().into_bytes()), "as events have it");
        assert_eq!(key(message().key("")), Err(InvalidMessage::EmptyKey));
        let len = MessageKey::MAX_LEN + 1;
        assert_eq!(key(message().key(vec![0; len])), Err(InvalidMessage::LongKey { len }));
        assert_eq!(Message::tombstone(TOPIC, "").check(), Err(InvalidMessage::EmptyKey));
    }

    #[test]
    fn a_header_has_a_name_that_nobody_else_writes() {
        for good in ["tenant", "x-mine", "größe"] {
            assert_eq!(message().header(good, [0xff]).check(), Ok(()), "{good}");
        }
        for bad in ["", "a\nb", &"x".repeat(257)] {
            let error = message().header(bad, "").check().unwrap_err();
            assert!(matches!(error, InvalidMessage::HeaderName { .. }), "{bad}: {error}");
        }
        for (ours, _) in SAID_OTHERWISE {
            let error = message().header(ours, "").check().unwrap_err().to_string();
            assert!(error.contains(ours) && error.contains("says it"), "{error}");
        }
        for ours in ["ce_id", "ce_mine", "x-retry-attempt", "x-error-message"] {
            let error = message().header(ours, "").check().unwrap_err();
            assert!(matches!(error, InvalidMessage::ReservedHeader { .. }), "{ours}: {error}");
        }
    }

    #[test]
    fn the_first_thing_that_is_wrong_is_said() {
        let wrong = message().partition(-1).key("");
        assert_eq!(wrong.check(), Err(InvalidMessage::Partition { partition: -1 }));
        assert_eq!(message().content_type("a\0").check(), Err(InvalidMessage::ContentType));
    }

    #[test]
    fn debug_shows_no_content() {
        let shown = format!("{:?}", Message::new(TOPIC, "secret").unwrap().key("secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
