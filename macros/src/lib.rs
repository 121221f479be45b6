//! Derive macros and attributes of Tidings. Each derive is documented at the trait that it implements.

mod attribute;
mod backoff;
mod consumer;
mod domain_event;
mod function;
mod integration_event;
mod names;
mod producer;
mod request;
mod topic;
mod topics;
mod worker;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
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

/// Makes a consumer of an async function that is a handler. The function stays as it is.
///
/// ```ignore
/// #[consumer(topic = Users, group = "email-service")]
/// async fn welcome(Event(user): Event<UserCreated>) -> Result<(), HandlerError> { .. }
///
/// let consumer = welcome::consumer().state(mailer).build(&kafka)?;
/// let both = greet::register(welcome::consumer()).build(&kafka)?;
/// ```
///
/// | `#[consumer(..)]` | meaning | default |
/// | --- | --- | --- |
/// | `topic = Users`, `".."` | where it reads: a type that derives `Topic`, or a name | the topics that the event says itself |
/// | `group = ".."` | the consumer group | the configuration's |
/// | `name = ".."` | the handler's name, which retried records carry | the function's |
///
/// `welcome::consumer()` is a `ConsumerBuilder`, `welcome::register(builder)` adds the handler to another one.
#[proc_macro_attribute]
pub fn consumer(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand_on(arguments, function, consumer::expand)
}

/// Makes a worker of an async function. The function stays as it is.
///
/// ```ignore
/// #[worker(topic = Users, output = Reports, concurrency = 8, max_retries = 5, backoff = "exponential:1s:cap=30s:jitter")]
/// async fn report(Value(user): Value<User>) -> Result<Value<Entry>, HandlerError> { .. }
///
/// let worker = report::worker().state(prices).build(&kafka)?;
/// ```
///
/// | `#[worker(..)]` | meaning | default |
/// | --- | --- | --- |
/// | `topic = Users`, `".."` | where it reads: a type that derives `Topic`, or a name | the topics that the event says itself |
/// | `output = Reports`, `".."` | where what it answers goes | the topics that an answered event says itself; none for `()` |
/// | `group = ".."` | the consumer group | the worker's name |
/// | `name = ".."` | its name | the function's |
/// | `concurrency = 8` | inputs, or batches, at once in one member | 64 |
/// | `max_retries = 5` | retries in place, instead of the configuration's policy | the configuration's policy |
/// | `backoff = ".."` | how long to wait before each of them: text as in a configuration, or a `Backoff` | exponential from 100 ms, at most 1 s, with jitter |
/// | `dlq = ".."`, `Failed`, `true`, `false` | the topic of dead letters, or whether there is one | as the retry policy says |
/// | `batch = 100, wait = "1s"` | it takes a `Vec` of `Item`s | one input at a time |
///
/// `report::worker()` is a `WorkerBuilder` whose work is said.
#[proc_macro_attribute]
pub fn worker(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand_on(arguments, function, worker::expand)
}

/// Publishes what an async function answers. The function stays as it is.
///
/// ```ignore
/// #[producer(topic = Users)]
/// async fn sign_up(email: String) -> UserCreated { .. }
/// #[producer(topic = Clicks, key = user)]
/// async fn click(user: Uuid, page: String) -> Click { .. }
///
/// sign_up::publish(&publisher, email).await?; // an integration event
/// click::send(&producer, user, page).await?;  // a plain message
/// ```
///
/// | `#[producer(..)]` | meaning | default |
/// | --- | --- | --- |
/// | `topic = Users`, `".."` | where it goes: a type that derives `Topic` and carries it, or a name | the event's own; a plain message must say it |
/// | `key = user`, `key = user.id` | it is a plain message, and this field keeps such in order | it is an integration event |
/// | `key_with = path` | the same, with a `fn(&Value) -> impl Into<MessageKey>` | |
/// | `unkeyed` | it is a plain message without an order | |
///
/// Both answer after the broker's acknowledgement. A function that answers a `Result` publishes what is `Ok`.
#[proc_macro_attribute]
pub fn producer(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand_on(arguments, function, producer::expand)
}

/// A function that is refused stays, so that what names it is not told to be wrong too.
fn expand_on(
    arguments: TokenStream,
    function: TokenStream,
    expand: fn(Tokens, Tokens) -> syn::Result<Tokens>,
) -> TokenStream {
    let function = Tokens::from(function);
    let expanded = expand(arguments.into(), function.clone());
    let refused = |error: syn::Error| {
        let (function, error) = (function::alone(function), error.into_compile_error());
        quote::quote!(#function #error)
    };
    expanded.unwrap_or_else(refused).into()
}

fn expand(
    input: &DeriveInput,
    derive: fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    derive(input).unwrap_or_else(syn::Error::into_compile_error).into()
}
