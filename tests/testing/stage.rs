//! Events, a shop that ships what is paid, and what an assertion that fails says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::consumer::{Consumer, ConsumerBuilder, Event, HandlerError};
use tidings::retry::RetryPolicy;
use tidings::testing::TestKit;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntegrationEvent)]
#[event(name = "paid", topic = "paid", key = order)]
pub struct Paid {
    pub order: String,
    pub cents: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntegrationEvent)]
#[event(name = "shipped", topic = "shipped", key = order)]
pub struct Shipped {
    pub order: String,
}

pub fn paid(order: &str) -> Paid {
    Paid { order: order.into(), cents: 100 }
}

pub fn shipped(order: &str) -> Shipped {
    Shipped { order: order.into() }
}

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Ships what is paid; `lost` says how a paid order cannot be shipped.
pub fn shipping(
    lost: impl Fn(&Paid, u32) -> Option<HandlerError> + Clone + Send + Sync + 'static,
) -> ConsumerBuilder {
    use tidings::consumer::Attempt;
    Consumer::builder("shipping")
        .handle_named("ship", move |Event(paid): Event<Paid>, Attempt(attempt): Attempt| {
            let lost = lost(&paid, attempt);
            async move {
                match lost {
                    None => Ok(Shipped { order: paid.order }),
                    Some(error) => Err(error),
                }
            }
        })
        .retry(RetryPolicy::tiers([secs(5), secs(60)]).immediate(0))
}

/// Nothing is lost.
pub fn never(_: &Paid, _: u32) -> Option<HandlerError> {
    None
}

/// A kit with the shipping service and one that writes bills.
pub async fn shop(shipping: ConsumerBuilder) -> TestKit {
    let kit = TestKit::new();
    kit.start(shipping.build(&kit.transport("shipping")).unwrap()).await;
    let billing = Consumer::builder("billing")
        .handle_named("bill", async |_: Event<Shipped>| Ok::<_, HandlerError>(()));
    kit.start(billing.build(&kit.transport("billing")).unwrap()).await;
    kit
}

/// What an assertion that fails says, ids replaced by their order of appearance.
pub fn failure<T>(assertion: impl FnOnce() -> T) -> String {
    let caught = catch_unwind(AssertUnwindSafe(assertion)).err();
    let caught = caught.expect("the assertion fails");
    let text = caught.downcast_ref::<&str>().map(ToString::to_string);
    without_ids(&text.unwrap_or_else(|| caught.downcast_ref::<String>().unwrap().clone()))
}

/// Ids are new in each run: `…a1b2c3` becomes `#1`, and so on.
pub fn without_ids(text: &str) -> String {
    let mut known = Vec::new();
    let mut parts = text.split('…');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (id, rest) = part.split_at(6.min(part.len()));
        if !id.chars().all(|c| c.is_ascii_hexdigit()) {
            out.push('…');
            out.push_str(part);
            continue;
        }
        let at = known.iter().position(|other| *other == id).unwrap_or_else(|| {
            known.push(id);
            known.len() - 1
        });
        out.push_str(&format!("#{}", at + 1));
        out.push_str(rest);
    }
    out
}
