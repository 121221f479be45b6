//! Derive macros of Tidings. Each is documented at the trait that it implements.

mod attribute;
mod domain_event;
mod integration_event;
mod names;
mod request;
mod topic;
mod topics;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `IntegrationEvent` for a struct.
///
/// ```ignore
/// #[derive(Serialize, Deserialize, IntegrationEvent)]
/// #[event(key = user_id)]
/// pub struct UserCreated { pub user_id: Uuid, pub email: String }
/// ```
///
/// | `#[event(..)]` | meaning | default |
/// | --- | --- | --- |
/// | `key = user_id`, `key = user.id`, `key = 0` | the field whose events stay in order | |
/// | `key_with = path` | `fn(&Self) -> impl ToPartitionKey`, for a key that is computed | |
/// | `unkeyed` | no order, any partition | |
/// | `name = ".."` | the type on the wire | the type's name in snake case |
/// | `version = 2` | the contract's version, from 1 up | 1 |
/// | `topic = ".."` | the topic, checked by the compiler | `integration-events.{name}` |
/// | `topic = Users` | a topic that is a type and carries the event: `#[derive(Topic)]` | |
/// | `topic_with = path, topics = ["..", ".."]` | `fn(&Self) -> TopicName`, and all that it can answer | |
/// | `subject = user_id` | the field that the event is about; a value that no subject can have is left out | none |
///
/// One of `key`, `key_with` and `unkeyed` must be said: an event whose key was forgotten would lose
/// its order and nobody would see it before production.
#[proc_macro_derive(IntegrationEvent, attributes(event))]
pub fn integration_event(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), integration_event::derive)
}

/// Implements `Topic`, its kind, and `Carries` for each type that the topic carries.
///
/// ```ignore
/// #[derive(Topic)]
/// #[topic(kind = event, name = "users", carries(UserCreated, UserRenamed), partitions = 6)]
/// pub struct Users;
/// ```
///
/// | `#[topic(..)]` | meaning | default |
/// | --- | --- | --- |
/// | `kind = event`, `command`, `state` | what lies on it, and so what is cleaned away | must be said |
/// | `name = ".."` | its name, checked by the compiler | must be said |
/// | `carries(A, B)` | the types that may be published to it | none |
/// | `profile = standard`, `error`, `dlq`, `path` | what holds where nothing else is said; a path is a `fn() -> Profile` | `standard` |
/// | `partitions = 6` | how many partitions | the profile's |
/// | `replication = 3`, `auto` | how many copies; a cluster with fewer brokers is an error unless `auto` | the profile's |
/// | `retention = "7d"`, `"forever"` | how long records are kept; a state topic has none | the profile's |
/// | `min_in_sync = 2` | how many copies must have a record before it is acknowledged | the profile's |
/// | `compression = zstd` | `producer`, `uncompressed`, `gzip`, `snappy`, `lz4` or `zstd` | the profile's |
/// | `properties("segment.bytes" = "1000000")` | further properties, by the broker's names | the profile's |
#[proc_macro_derive(Topic, attributes(topic))]
pub fn topic(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), topic::derive)
}

/// Implements `DomainEvent` for a struct or an enum that is `Debug`.
#[proc_macro_derive(DomainEvent)]
pub fn domain_event(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), domain_event::derive)
}

/// Implements `Request` and `Command`.
///
/// ```ignore
/// #[derive(Command)]
/// #[request(response = User, error = UserError)]
/// pub struct CreateUser { pub email: String }
/// ```
///
/// | `#[request(..)]` | meaning | default |
/// | --- | --- | --- |
/// | `response = Type` | what the handler answers | `()` |
/// | `error = Type` | how the handler fails | must be said |
/// | `validate = path` | `fn(&Self) -> Result<(), ValidationErrors>` | everything is valid |
/// | `domain_events = path` | `fn(&mut Response) -> Vec<Box<dyn DomainEvent>>` | none |
/// | `integration_events = path` | `fn(&mut Response) -> Events` | none |
#[proc_macro_derive(Command, attributes(request))]
pub fn command(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), request::command)
}

/// Implements `Request` and `Query`; the attributes are those of `Command`, and `response` must be said.
#[proc_macro_derive(Query, attributes(request))]
pub fn query(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), request::query)
}

fn expand(
    input: &DeriveInput,
    derive: fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    derive(input).unwrap_or_else(syn::Error::into_compile_error).into()
}
