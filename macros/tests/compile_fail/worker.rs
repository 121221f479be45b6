use serde::{Deserialize, Serialize};
use tidings::consumer::{Consumer, Event, HandlerError, RawRecord, Value};
use tidings::worker::Worker;
use tidings::{IntegrationEvent, Topic};

#[derive(Topic)]
#[topic(kind = event, name = "visits", carries(Visit))]
struct Visits;

#[derive(Topic)]
#[topic(kind = event, name = "reports", carries(Reported))]
struct Reports;

#[derive(Serialize, Deserialize)]
struct Visit;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = Reports)]
struct Reported;

async fn report(_: Value<Visit>) -> Result<Reported, HandlerError> {
    Ok(Reported)
}

async fn copy(visit: Value<Visit>) -> Result<Vec<Value<Visit>>, HandlerError> {
    Ok(vec![visit])
}

async fn read(_: Event<Reported>) -> Result<(), HandlerError> {
    Ok(())
}

async fn count(_: RawRecord) -> Result<usize, HandlerError> {
    Ok(1)
}

fn main() {
    let _ = Worker::builder("right").input::<Visits>().output::<Reports>().process(report);

    // The output topic does not carry what is answered.
    let _ = Worker::builder("output").input::<Visits>().output::<Reports>().process(copy);

    let _ = Worker::builder("events").input::<Visits>().output::<Visits>().process(report);

    // The input topic does not carry what is read.
    let _ = Worker::builder("input").input::<Visits>().process(read);

    // Whatever lies there: it has to be said where.
    let _ = Worker::builder("nowhere").process(count);
    let _ = Consumer::builder("nowhere").handle(async |_: Value<Visit>| Ok::<_, HandlerError>(()));

    // Nothing that can be published.
    let _ = Worker::builder("answer").input::<Visits>().process(count);

    // A plain value needs a topic to go to.
    let _ = Worker::builder("value").input::<Visits>().process(copy);

    // No work.
    let _ = Worker::builder("work").input::<Visits>().process(7);
}
