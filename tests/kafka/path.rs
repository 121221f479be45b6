//! From publish to handler.

use std::collections::BTreeMap;

use tidings::consumer::*;
use tidings::publisher::Publisher;

use crate::events::*;
use crate::stage::*;
use crate::support::*;

event!(Placed, "path.placed");

const PARTITIONS: i32 = 6;

fn member(seen: &Seen<(usize, String, Ran)>, member: usize) -> ConsumerBuilder {
    let seen = seen.clone();
    let note = move |Event(e): Event<Placed>, delivery: Delivery| {
        seen.add((member, e.key.clone(), Ran::new(e.n, &delivery)));
        async { Ok::<(), HandlerError>(()) }
    };
    consumer("path", PARTITIONS).handle_named("note", note)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_reaches_one_member_of_another_services_group_in_the_order_of_its_key() {
    let Some(broker) = kafka_address() else { return };
    let seen = Seen::default();
    let mut members = Vec::new();
    for number in 0..2 {
        members.push(member(&seen, number).start_on(&client("mail", &broker)).await);
    }
    let owned = || members.iter().map(|m| m.status().partitions()).collect::<Vec<_>>();
    // Main topic and three tiers follow each other.
    eventually("both own half", SOON, || owned() == [12, 12]).await;

    let publisher = Publisher::new(&client("orders", &broker));
    let mut lies = BTreeMap::new();
    for n in 0..300 {
        let key = format!("order-{}", n % 20);
        let published = publisher.publish(Placed::new(key.clone(), n)).await.unwrap();
        lies.insert(n, (key, published.delivered.partition));
    }
    for (key, partition) in lies.values() {
        assert_eq!(*partition, partition_of(key.as_bytes(), PARTITIONS), "{key}");
    }
    eventually("all are handled", SOON, || seen.len() >= 300).await;

    let mut by_key: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut by_member = [0, 0];
    for (member, key, ran) in seen.all() {
        assert_eq!((&key, ran.partition), (&lies[&ran.n].0, lies[&ran.n].1));
        by_key.entry(key).or_default().push(ran.n);
        by_member[member] += 1;
    }
    assert!(by_member.iter().all(|handled| *handled > 0), "{by_member:?}");
    for (key, ns) in &by_key {
        assert!(ns.is_sorted(), "{key}: {ns:?}");
    }
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), 300, "each once");
    for member in members {
        stop(member).await;
    }
}
