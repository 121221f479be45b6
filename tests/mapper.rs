//! The event mapper and the derives of events, through the public API.
#![cfg(all(feature = "macros", feature = "json"))]

use serde::{Deserialize, Serialize};
use tidings::codec;
use tidings::event::{InvalidKey, PartitionKey, ToPartitionKey, TopicName};
use tidings::mapper::{BuildError, EventMapper, Events, MapError, Unmapped};
use tidings::{DomainEvent, IntegrationEvent};
use uuid::Uuid;

#[derive(Debug, DomainEvent)]
struct UserRegistered {
    id: Uuid,
    email: String,
}

#[derive(Debug, DomainEvent)]
struct UserRenamed {
    id: Uuid,
    names: Vec<String>,
}

#[derive(Debug, DomainEvent)]
struct PasswordHashed;

#[derive(Debug, DomainEvent)]
enum OrderEvent {
    Placed { order: u64 },
    Paid { order: u64 },
    Looked,
}

#[derive(Debug, DomainEvent)]
struct Changed<T>(T);

#[derive(Debug, PartialEq, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id)]
struct UserCreated {
    user_id: Uuid,
    email: String,
}

impl From<&UserRegistered> for UserCreated {
    fn from(event: &UserRegistered) -> Self {
        Self { user_id: event.id, email: event.email.clone() }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, IntegrationEvent)]
#[event(key = 0, name = "shop.user-renamed", version = 3, topic = "shop.users.v3", subject = 1)]
struct UserUpdated(Uuid, String);

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed)]
struct HTTPStatusChanged;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OrderId(u64);

impl ToPartitionKey for OrderId {
    fn to_partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        self.0.to_partition_key()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: OrderId,
    tenant: (Option<String>, u8),
}

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = order.id)]
#[event(subject = order.id.0)]
struct OrderPlaced {
    order: Order,
}

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = order.tenant.0)]
struct OrderPaid {
    order: Order,
}

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key_with = Self::lane, topic_with = Self::place, topics = ["gauges.eu", "gauges.us"])]
struct Measured {
    r#in: String,
    gauge: u8,
}

impl Measured {
    fn lane(&self) -> String {
        format!("{}-{}", self.r#in, self.gauge)
    }

    fn place(&self) -> TopicName {
        TopicName::from_static(if self.r#in == "eu" { "gauges.eu" } else { "gauges.us" })
    }
}

fn order(id: u64) -> Order {
    Order { id: OrderId(id), tenant: (None, 0) }
}

fn names(events: &[Box<dyn codec::AnyIntegrationEvent>]) -> Vec<&'static str> {
    events.iter().map(|event| event.name()).collect()
}

fn registered() -> UserRegistered {
    UserRegistered { id: Uuid::from_u128(7), email: "ada@example.org".to_owned() }
}

#[test]
fn a_domain_event_is_mapped_through_from() {
    let mapper = EventMapper::builder().map::<UserRegistered, UserCreated>().build().unwrap();
    let events = mapper.map(&registered()).unwrap();
    assert_eq!(
        events[0].downcast_ref::<UserCreated>(),
        Some(&UserCreated { user_id: Uuid::from_u128(7), email: "ada@example.org".to_owned() })
    );
    assert_eq!(events.len(), 1);
}

#[test]
fn a_closure_answers_none_one_or_many_in_order() {
    let map = |mapper: tidings::mapper::EventMapperBuilder, count: usize| {
        let names = (0..count).map(|n| n.to_string()).collect();
        let events = mapper.build().unwrap().map(&UserRenamed { id: Uuid::nil(), names }).unwrap();
        events
            .iter()
            .map(|e| e.downcast_ref::<UserUpdated>().unwrap().1.clone())
            .collect::<Vec<_>>()
    };
    let one = |e: &UserRenamed| UserUpdated(e.id, "x".to_owned());
    let option = |e: &UserRenamed| e.names.first().map(|name| UserUpdated(e.id, name.clone()));
    let many = |e: &UserRenamed| {
        e.names.iter().map(|name| UserUpdated(e.id, name.clone())).collect::<Vec<_>>()
    };
    let array = |e: &UserRenamed| ["a", "b"].map(|name| UserUpdated(e.id, name.to_owned()));
    assert_eq!(map(EventMapper::builder().map_with(one), 0), ["x"]);
    assert_eq!(map(EventMapper::builder().map_with(option), 0), [""; 0]);
    assert_eq!(map(EventMapper::builder().map_with(option), 1), ["0"]);
    assert_eq!(map(EventMapper::builder().map_with(many), 3), ["0", "1", "2"]);
    assert_eq!(map(EventMapper::builder().map_with(array), 0), ["a", "b"]);
    assert_eq!(map(EventMapper::builder().map_with(|_: &UserRenamed| ()), 2), [""; 0]);
}

#[test]
fn an_enum_is_mapped_by_one_exhaustive_match_to_events_of_several_types() {
    let mapper = EventMapper::builder()
        .map_with(|event: &OrderEvent| match event {
            OrderEvent::Placed { order: id } => Events::one(OrderPlaced { order: order(*id) })
                .and(HTTPStatusChanged)
                .and(None::<OrderPaid>)
                .and(vec![HTTPStatusChanged, HTTPStatusChanged]),
            OrderEvent::Paid { order: id } => Events::one(OrderPaid { order: order(*id) }),
            OrderEvent::Looked => Events::none(),
        })
        .covers::<(OrderEvent,)>()
        .build()
        .unwrap();
    assert_eq!(
        names(&mapper.map(&OrderEvent::Placed { order: 1 }).unwrap()),
        ["order_placed", "http_status_changed", "http_status_changed", "http_status_changed"]
    );
    assert_eq!(names(&mapper.map(&OrderEvent::Paid { order: 1 }).unwrap()), ["order_paid"]);
    assert!(mapper.map(&OrderEvent::Looked).unwrap().is_empty());
}

#[test]
fn an_ignored_event_becomes_nothing() {
    let mapper = EventMapper::builder()
        .ignore::<PasswordHashed>()
        .ignore::<PasswordHashed>()
        .build()
        .unwrap();
    assert!(mapper.map(&PasswordHashed).unwrap().is_empty());
}

#[test]
fn an_event_never_mentioned_is_an_error_unless_the_mapper_was_told_to_ignore_it() {
    let mapper = EventMapper::builder().build().unwrap();
    let error = mapper.map(&PasswordHashed).map(|events| names(&events)).unwrap_err();
    assert!(matches!(error, MapError::NoMapping { event: "PasswordHashed" }));
    assert!(error.to_string().contains("ignore it"), "{error}");
    let lenient = EventMapper::builder().unmapped(Unmapped::Ignore).build().unwrap();
    assert!(lenient.map(&PasswordHashed).unwrap().is_empty());
}

#[test]
fn forms_of_a_generic_domain_event_are_mapped_apart() {
    let mapper = EventMapper::builder()
        .map_with(|_: &Changed<u8>| HTTPStatusChanged)
        .ignore::<Changed<u16>>()
        .build()
        .unwrap();
    assert_eq!(mapper.map(&Changed(1_u8)).unwrap().len(), 1);
    assert_eq!(mapper.map(&Changed(1_u16)).unwrap().len(), 0);
    assert!(mapper.map(&Changed(1_u32)).is_err());
}

#[test]
fn covers_names_all_that_is_missing() {
    let error = EventMapper::builder()
        .map::<UserRegistered, UserCreated>()
        .covers::<(UserRegistered, UserRenamed, PasswordHashed)>()
        .covers::<(PasswordHashed, OrderEvent)>()
        .build()
        .unwrap_err();
    let BuildError::NotMapped { events } = &error else { panic!("{error}") };
    assert_eq!(
        format!("{error:?}"),
        error.to_string(),
        "a `main` that returns it gives its advice"
    );
    assert_eq!(events, &["mapper::UserRenamed", "mapper::PasswordHashed", "mapper::OrderEvent"]);
    assert!(
        error
            .to_string()
            .contains("mapper::UserRenamed, mapper::PasswordHashed, mapper::OrderEvent")
    );
}

#[test]
fn a_domain_event_mapped_twice_is_named() {
    let error = EventMapper::builder()
        .map::<UserRegistered, UserCreated>()
        .map_with(|_: &UserRegistered| HTTPStatusChanged)
        .build()
        .unwrap_err();
    assert_eq!(error, BuildError::MappedTwice { events: vec!["mapper::UserRegistered"] });
}

#[test]
fn a_domain_event_both_mapped_and_ignored_is_named_whichever_came_first() {
    let expected = BuildError::MappedAndIgnored { events: vec!["mapper::UserRegistered"] };
    let map =
        EventMapper::builder().map::<UserRegistered, UserCreated>().ignore::<UserRegistered>();
    assert_eq!(map.build().unwrap_err(), expected);
    let ignore =
        EventMapper::builder().ignore::<UserRegistered>().map::<UserRegistered, UserCreated>();
    assert_eq!(ignore.build().unwrap_err(), expected);
}

#[test]
fn a_derived_event_has_the_name_version_topic_key_and_subject_that_were_said() {
    assert_eq!((UserCreated::NAME, UserCreated::VERSION), ("user_created", 1));
    let created = UserCreated { user_id: Uuid::from_u128(7), email: String::new() };
    assert_eq!(created.topic().as_str(), "integration-events.user_created");
    assert_eq!(UserCreated::topics(), [created.topic()]);
    assert_eq!(created.partition_key().unwrap().unwrap().as_str(), Uuid::from_u128(7).to_string());
    assert_eq!(created.subject(), None);

    assert_eq!((UserUpdated::NAME, UserUpdated::VERSION), ("shop.user-renamed", 3));
    let updated = UserUpdated(Uuid::nil(), "users/7".to_owned());
    assert_eq!(updated.topic().as_str(), "shop.users.v3");
    assert_eq!(updated.subject().unwrap().as_str(), "users/7");

    assert_eq!(HTTPStatusChanged::NAME, "http_status_changed");
    assert_eq!(HTTPStatusChanged.partition_key(), Ok(None));
}

#[test]
fn a_key_is_a_field_a_field_of_a_field_or_computed() {
    let placed = OrderPlaced { order: order(12) };
    assert_eq!(placed.partition_key().unwrap().unwrap().as_str(), "12");
    assert_eq!(placed.subject().unwrap().as_str(), "12");
    assert_eq!(
        OrderPaid { order: order(12) }.partition_key(),
        Ok(None),
        "an optional field may ask for no order"
    );
    let empty = OrderPaid { order: Order { tenant: (Some(String::new()), 0), ..order(1) } };
    assert_eq!(empty.partition_key(), Err(InvalidKey::Empty));
    let measured = Measured { r#in: "us".to_owned(), gauge: 4 };
    assert_eq!(measured.partition_key().unwrap().unwrap().as_str(), "us-4");
}

#[test]
fn a_topic_may_depend_on_the_event_and_all_of_them_are_listed() {
    let topics = Measured::topics();
    assert_eq!(
        topics.iter().map(TopicName::as_str).collect::<Vec<_>>(),
        ["gauges.eu", "gauges.us"]
    );
    for place in ["eu", "us"] {
        let topic = Measured { r#in: place.to_owned(), gauge: 0 }.topic();
        assert!(topics.contains(&topic), "{topic}");
    }
}

#[test]
fn a_mapper_is_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<EventMapper>();
}
