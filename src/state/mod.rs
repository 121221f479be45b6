//! State topics: what each key stands at, kept by the broker and seen by every process.
//!
//! A state topic is compacted: the last record of each key stays. A `StateWriter` puts values and removes keys.
//! A [`StateView`] reads all of it into memory and follows, without a group, so that each process that has one
//! sees every key.
//!
#![cfg_attr(all(feature = "macros", feature = "json"), doc = "```")]
#![cfg_attr(not(all(feature = "macros", feature = "json")), doc = "```ignore")]
//! use serde::{Deserialize, Serialize};
//! use tidings::Topic;
//! use tidings::producer::Producer;
//! use tidings::state::{StateView, StateWriter};
//! use tidings::transport::Transport;
//!
//! #[derive(Topic)]
//! #[topic(kind = state, name = "user-profiles", carries(Profile))]
//! struct Profiles;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Profile { name: String }
//!
//! async fn rename<K: Transport + Clone>(kafka: &K) -> Result<(), tidings::error::BoxError> {
//!     let view = StateView::<Profiles, Profile>::start(kafka).await?;
//!     view.caught_up().await?;
//!     let writer = StateWriter::<Profiles, Profile>::new(Producer::new(kafka));
//!     let at = writer.put("user-7", &Profile { name: "Ada".into() }).await?;
//!     view.reached(&at).await?;
//!     assert_eq!(view.get("user-7").unwrap().name, "Ada");
//!     writer.remove("user-7").await?;
//!     Ok(())
//! }
//! ```

mod builder;
mod changes;
mod error;
mod key;
mod reading;
mod settings;
mod status;
mod store;
mod table;
mod value;
mod view;
#[cfg(feature = "json")]
mod writer;

pub use builder::StateViewBuilder;
pub use changes::{StateChange, StateChanges};
pub use error::{StateStartError, StateStopped};
pub use key::StateKey;
pub use settings::Unreadable;
pub use status::{StateCounts, StateViewStatus};
pub use view::{AnyTopic, StateView};
#[cfg(feature = "json")]
pub use writer::{StateWriteError, StateWriter};
