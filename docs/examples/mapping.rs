//! Mapping domain events to integration events.

use serde::{Deserialize, Serialize};
use tidings::{DomainEvent, IntegrationEvent};
use uuid::Uuid;

use super::contracts::UserCreated;

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id)]
pub struct UserMoved {
    pub user_id: Uuid,
    pub country: String,
}

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id)]
pub struct TaxRegionChanged {
    pub user_id: Uuid,
}

// ANCHOR: domain
#[derive(Debug, DomainEvent)]
pub struct UserRegistered {
    pub id: Uuid,
    pub email: String,
}

#[derive(Debug, DomainEvent)]
pub struct PasswordHashed;

/// All that can happen to an address, in one enum.
#[derive(Debug, DomainEvent)]
pub enum AddressEvent {
    Moved { user: Uuid, country: String, tax_region_changed: bool },
    Verified,
}
// ANCHOR_END: domain

// ANCHOR: mapper
use tidings::mapper::{BuildError, EventMapper, Events};

impl From<&UserRegistered> for UserCreated {
    fn from(event: &UserRegistered) -> Self {
        Self { user_id: event.id, email: event.email.clone() }
    }
}

pub fn event_mapper() -> Result<EventMapper, BuildError> {
    EventMapper::builder()
        .map::<UserRegistered, UserCreated>() // through `From`
        .map_with(|event: &AddressEvent| match event {
            AddressEvent::Moved { user, country, tax_region_changed } => {
                let moved = UserMoved { user_id: *user, country: country.clone() };
                let tax = tax_region_changed.then_some(TaxRegionChanged { user_id: *user });
                Events::one(moved).and(tax) // 0..n events, of several types
            }
            AddressEvent::Verified => Events::none(),
        })
        .ignore::<PasswordHashed>() // said, not forgotten
        .covers::<(UserRegistered, AddressEvent, PasswordHashed)>()
        .build()
}
// ANCHOR_END: mapper

#[test]
fn the_mapper_maps_as_the_book_says() {
    let mapper = event_mapper().unwrap();
    let moved =
        AddressEvent::Moved { user: Uuid::nil(), country: "CH".into(), tax_region_changed: true };
    let names: Vec<_> = mapper.map(&moved).unwrap().iter().map(|event| event.name()).collect();
    assert_eq!(names, ["user_moved", "tax_region_changed"]);
    assert_eq!(mapper.map(&PasswordHashed).unwrap().len(), 0);
    let forgotten = EventMapper::builder().covers::<(PasswordHashed,)>().build();
    assert!(forgotten.unwrap_err().to_string().contains("neither mapped nor ignored"));
}
