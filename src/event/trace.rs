//! The W3C trace context that travels with an event (<https://www.w3.org/TR/trace-context/>).

use std::fmt;
use std::sync::Arc;

/// The longest `tracestate` that is carried on, in bytes (the recommendation asks for at least 512).
const MAX_STATE: usize = 1024;

/// A checked `traceparent` and the `tracestate` beside it.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    parent: [u8; 55],
    state: Option<Box<str>>,
}

impl TraceContext {
    /// Reads the two headers. A `tracestate` that is empty, oversized or not printable ASCII is
    /// dropped, as the recommendation allows.
    ///
    /// # Errors
    /// When `traceparent` is not of the form `00-{32 hex}-{16 hex}-{2 hex}` or its ids are all zero.
    pub fn parse(parent: &str, state: Option<&str>) -> Result<Self, InvalidTraceContext> {
        let parent: [u8; 55] = parent.as_bytes().try_into().map_err(|_| InvalidTraceContext)?;
        let hex = |range: std::ops::Range<usize>| {
            parent[range].iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let zero = |range: std::ops::Range<usize>| parent[range].iter().all(|b| *b == b'0');
        let dashes = [2, 35, 52].iter().all(|at| parent[*at] == b'-');
        if !dashes
            || &parent[..2] != b"00"
            || !(hex(3..35) && hex(36..52) && hex(53..55))
            || zero(3..35)
            || zero(36..52)
        {
            return Err(InvalidTraceContext);
        }
        let state = state
            .filter(|s| !s.is_empty() && s.len() <= MAX_STATE)
            .filter(|s| s.bytes().all(|b| matches!(b, b' '..=b'~')))
            .map(Box::from);
        Ok(Self(Arc::new(Parts { parent, state })))
    }

    /// The value of `traceparent`.
    pub fn traceparent(&self) -> &str {
        std::str::from_utf8(&self.0.parent).unwrap_or_default()
    }

    /// The value of `tracestate`, when there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.0.state.as_deref()
    }

    /// The 32 hex digits of the trace id.
    pub fn trace_id(&self) -> &str {
        &self.traceparent()[3..35]
    }
}

/// A header that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a traceparent has the form 00-{{32 hex}}-{{16 hex}}-{{2 hex}}, ids not all zero")]
pub struct InvalidTraceContext;

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.traceparent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written_unchanged() {
        let context = TraceContext::parse(PARENT, Some("vendor=1")).unwrap();
        assert_eq!(context.traceparent(), PARENT);
        assert_eq!(context.tracestate(), Some("vendor=1"));
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn a_hostile_traceparent_is_refused_and_a_hostile_tracestate_dropped() {
        for bad in [
            "",
            "00",
            &PARENT.to_uppercase(),
            &PARENT.replace('4', "0").replace("00-0", "ff-0"),
            &"0".repeat(55),
        ] {
            assert!(TraceContext::parse(bad, None).is_err(), "{bad}");
        }
        for bad in ["", "a\r\nb=1", &"x".repeat(1025)] {
            assert_eq!(TraceContext::parse(PARENT, Some(bad)).unwrap().tracestate(), None);
        }
    }
}
