//! An event that always fails goes a bounded way (reliability row 17).

use tidings::consumer::*;
use tidings::event::header;
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;

use crate::events::{Contract, Note, contract, note};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

const TIERS: [std::time::Duration; 3] = [ms(20), ms(40), ms(60)];

/// Notes each attempt and fails as event 0 and others say.
fn always_fails<C: Contract>(
    seen: &Seen<(u32, u32)>,
) -> impl Fn(Event<Note<C>>, Attempt) -> std::future::Ready<Result<(), HandlerError>>
+ Send
+ Sync
+ 'static {
    let seen = seen.clone();
    move |Event(note), Attempt(attempt)| {
        seen.add((note.n, attempt));
        std::future::ready(Err(if note.n == 0 {
            HandlerError::permanent("it can never be")
        } else {
            HandlerError::transient("not now, nor later")
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_goes_through_each_tier_once_with_rising_attempts_and_then_to_the_dead_letters() {
    contract!(Poison: "poison.all_tiers");
    let kafka = client();
    let seen = Seen::default();
    let builder = consumer::<Poison>().handle_named("fails", always_fails::<Poison>(&seen));
    let builder = builder.retry(RetryPolicy::tiers(TIERS).immediate(0));
    let running = start(builder, &kafka).await;
    Publisher::new(&kafka).publish(note::<Poison>("k", 1)).await.unwrap();
    let counts = running.status().counts();
    eventually("it is dead", SOON, || counts.dead_lettered() == 1).await;
    assert_eq!(seen.all(), [(1, 1), (1, 2), (1, 3), (1, 4)]);
    let dead = lies_on(&kafka, &beside::<Poison>("dlq")).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(text(&dead[0], header::RETRY_ATTEMPT), "4");
    assert_eq!(text(&dead[0], header::ERROR_KIND), "transient");
    assert_eq!(text(&dead[0], header::ORIGIN_TOPIC), "poison.all_tiers");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_attempt_count_neither_keeps_poison_going_nor_stops_the_count_from_rising() {
    contract!(Hostile: "poison.hostile");
    let kafka = client();
    let seen = Seen::default();
    let builder = consumer::<Hostile>().handle_named("fails", always_fails::<Hostile>(&seen));
    let builder = builder.retry(RetryPolicy::tiers(TIERS).immediate(0));
    let running = start(builder, &kafka).await;
    for (n, attempt) in
        [(1, "0"), (2, "4294967295"), (3, "-1"), (4, "1000"), (5, "18446744073709551616")]
    {
        let headers = [
            (header::RETRY_GROUP, "poison.hostile"),
            (header::RETRY_HANDLER, "fails"),
            (header::RETRY_ATTEMPT, attempt),
        ];
        put(&kafka, &on_tier::<Hostile>(written::<Hostile>("k", n), "20ms", &headers)).await;
    }
    let counts = running.status().counts();
    eventually("all are dead", SOON, || counts.dead_lettered() == 5).await;
    for n in 1..=5 {
        let all = seen.all();
        let attempts: Vec<_> = all.iter().filter(|(of, _)| *of == n).map(|(_, a)| *a).collect();
        assert_eq!(attempts.len(), TIERS.len(), "one run for each tier: {attempts:?}");
        assert!(attempts.is_sorted_by(|a, b| a < b), "event {n}: {attempts:?}");
    }
    let dead = lies_on(&kafka, &beside::<Hostile>("dlq")).await;
    assert_eq!(dead.len(), 5);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_failure_is_a_dead_letter_at_once_wherever_it_happens() {
    contract!(Fatal: "poison.permanent");
    let kafka = client();
    let seen = Seen::default();
    let builder = consumer::<Fatal>().handle_named("fails", always_fails::<Fatal>(&seen));
    let builder = builder.retry(RetryPolicy::tiers(TIERS).immediate(3));
    let running = start(builder, &kafka).await;
    put(&kafka, &written::<Fatal>("k", 0)).await;
    let headers = [(header::RETRY_GROUP, "poison.permanent"), (header::RETRY_HANDLER, "fails")];
    put(&kafka, &on_tier::<Fatal>(written::<Fatal>("k", 0), "40ms", &headers)).await;
    let counts = running.status().counts();
    eventually("both are dead", SOON, || counts.dead_lettered() == 2).await;
    let mut all = seen.all();
    all.sort_unstable();
    assert_eq!(all, [(0, 1), (0, 3)], "once each; the second tier proves two failures");
    assert_eq!(counts.retried(), 0);
    let dead = lies_on(&kafka, &beside::<Fatal>("dlq")).await;
    assert!(dead.iter().all(|record| text(record, header::ERROR_KIND) == "permanent"));
    stop(running).await;
}
