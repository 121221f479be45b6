//! What can be set about a view.

use std::time::Duration;

/// What a view does with a value that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unreadable {
    /// The key keeps its last readable value; a key that never had one is not in the view. It is
    /// counted, logged and among [`unreadable_keys`](super::StateView::unreadable_keys) until a
    /// readable record or a tombstone of the key comes.
    #[default]
    KeepLast,
    /// The view stops.
    Stop,
}

/// What a view's reading needs to know.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) unreadable: Unreadable,
    /// The most that keys and values may take, in bytes.
    pub(super) max_memory: usize,
    pub(super) start_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            unreadable: Unreadable::default(),
            max_memory: 256 * 1024 * 1024,
            start_wait: Duration::from_secs(30),
        }
    }
}
