//! State topics: what each key stands at, kept by the broker and seen by every process.
//!
//! A state topic is compacted: the last record of each key stays. A [`StateView`] reads all of it into
//! memory and follows, without a group, so that each process that has one sees every key.
//!
#![cfg_attr(all(feature = "macros", feature = "json"), doc = "```")]
#![cfg_attr(not(all(feature = "macros", feature = "json")), doc = "```ignore")]
//! use serde::{Deserialize, Serialize};
//! use tidings::Topic;
//! use tidings::state::StateView;
//! use tidings::transport::Transport;
//!
//! #[derive(Topic)]
//! #[topic(kind = state, name = "user-profiles", carries(Profile))]
//! struct Profiles;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Profile { name: String }
//!
//! async fn name_of<K: Transport + Clone>(kafka: &K, user: &str) -> Result<Option<String>, tidings::error::BoxError> {
//!     let profiles = StateView::<Profiles, Profile>::start(kafka).await?;
//!     profiles.caught_up().await?;
//!     Ok(profiles.get(user).map(|profile| profile.name.clone()))
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

pub use builder::StateViewBuilder;
pub use changes::{StateChange, StateChanges};
pub use error::{StateStartError, StateStopped};
pub use key::StateKey;
pub use settings::Unreadable;
pub use status::{StateCounts, StateViewStatus};
pub use view::{AnyTopic, StateView};
