//! A view of a state topic on the embedded broker.

use tidings::event::TopicName;
use tidings::producer::{Message, Producer};
use tidings::state::{AnyTopic, StateView, StateWriter};

use crate::stage::{TOPICS, client};
use crate::support::{SOON, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_of_two_clients_see_what_a_third_writes() {
    const RATES: TopicName = TopicName::from_static("state.rates");
    let view = async || {
        let view: StateView<AnyTopic, u32> =
            StateView::named(RATES).topics(TOPICS).start(&client()).await.unwrap();
        tokio::time::timeout(SOON, view.caught_up()).await.unwrap().unwrap();
        view
    };
    let first = view().await;
    assert!(first.is_empty());
    // The broker may not have answered this client's own question yet.
    eventually("a view is ready", SOON, || first.status().is_ready()).await;
    let producer = Producer::new(&client());
    let writer = StateWriter::named(producer.clone(), RATES);
    for (currency, rate) in [("eur", 7), ("chf", 8), ("eur", 9)] {
        writer.put(currency, &rate).await.unwrap();
    }
    let unreadable = Message::bytes(RATES, &b"?"[..]).content_type("application/json");
    producer.send(unreadable.key("chf")).await.unwrap();
    let gone = writer.put("usd", &1).await.unwrap();
    let last = writer.remove("usd").await.unwrap();
    assert_eq!(last.partition, gone.partition);
    let second = view().await;
    for view in [&first, &second] {
        tokio::time::timeout(SOON, view.reached(&last)).await.unwrap().unwrap();
        while view.lag(SOON).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
        let held: Vec<_> =
            view.snapshot().iter().map(|(key, rate)| (key.to_string(), **rate)).collect();
        assert_eq!(held, [("chf".to_owned(), 8), ("eur".to_owned(), 9)]);
        assert_eq!(view.unreadable_keys()[0], "chf");
    }
}
