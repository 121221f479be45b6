//! Building a worker: where it reads, what it does, where it writes.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{BatchAnswer, BatchProcessor, Batched};
use super::frame::{Failed, Frame};
use super::output::Output;
use super::process::Processor;
use super::running::Worker;
use super::settings::{DeadLetters, Settings};
use super::single::Single;
use super::topics::{NoTopic, On, OutputTopic};
use crate::consumer::{
    BuildError, ConsumerBuilder, ConsumerDescription, Delivery, FailureKind, InputTopics, Order,
    Own, TopicRoutes,
};
use crate::event::{TopicName, TopicSpec};
use crate::producer::Producer;
use crate::retry::{Backoff, RetryPolicy};
use crate::topic::Topic;
use crate::transport::{TopicNeed, TopicSetup, Transport};

/// Collects what a worker is made of; see [`Worker::builder`].
///
/// `In` and `Out` are where it reads and writes, `W` whether its work is said: first the topics, then the work;
/// everything else at any time.
pub struct WorkerBuilder<In = Own, Out = NoTopic, W = ()> {
    input: In,
    output: Out,
    work: W,
    settings: Settings,
}

/// The work of a worker, once it is said.
pub struct Work {
    install: Install,
    topic: Option<TopicName>,
    /// Topics that it writes to, that one among them.
    writes: Vec<TopicNeed>,
    batch: Option<(usize, Duration)>,
}

type Install = Box<dyn FnOnce(ConsumerBuilder, &str, Arc<Frame>, usize) -> ConsumerBuilder + Send>;

impl WorkerBuilder {
    pub(super) fn new(name: String) -> Self {
        Self { input: Own, output: NoTopic, work: (), settings: Settings::new(name) }
    }
}

impl<Out> WorkerBuilder<Own, Out> {
    /// Reads this topic. Without it: the topics that the event says which the work reads.
    #[must_use]
    pub fn input<T: Topic>(self) -> WorkerBuilder<On<T>, Out> {
        self.reading(On::new())
    }

    /// Reads a topic that is known at run time only, as a [`TopicSpec`] or a [`TopicName`].
    #[must_use]
    pub fn input_named(self, topic: impl Into<TopicNeed>) -> WorkerBuilder<TopicNeed, Out> {
        self.reading(topic.into())
    }

    fn reading<In>(self, input: In) -> WorkerBuilder<In, Out> {
        let Self { output, work, settings, .. } = self;
        WorkerBuilder { input, output, work, settings }
    }
}

impl<In> WorkerBuilder<In> {
    /// Publishes what the work answers on this topic; what the topic does not carry does not compile. Without
    /// it: integration events on the topics that they say themselves, or nothing.
    #[must_use]
    pub fn output<T: Topic>(self) -> WorkerBuilder<In, On<T>> {
        self.writing(On::new())
    }

    /// Publishes what the work answers on a topic that is known at run time only, as a [`TopicSpec`] or a
    /// [`TopicName`].
    #[must_use]
    pub fn output_named(self, topic: impl Into<TopicNeed>) -> WorkerBuilder<In, TopicNeed> {
        self.writing(topic.into())
    }

    fn writing<Out>(self, output: Out) -> WorkerBuilder<In, Out> {
        let Self { input, work, settings, .. } = self;
        WorkerBuilder { input, output, work, settings }
    }
}

impl<In, Out: OutputTopic> WorkerBuilder<In, Out> {
    /// What is done with each input, in the order of each key: an async function whose first argument is the
    /// input and whose others are extractors, or a type that is [`Process`](super::Process).
    #[must_use]
    pub fn process<Args: 'static, P: Processor<Args>>(
        self,
        process: P,
    ) -> WorkerBuilder<In, Out, Work>
    where
        In: InputTopics<P::Input> + Send + 'static + Clone,
        P::Output: Output<Out>,
    {
        let input = self.input.clone();
        let install: Install = Box::new(move |consumer, name, frame, concurrency| {
            let work = Single { process, frame, to: PhantomData::<fn() -> (Args, Out)> };
            consumer.concurrency(concurrency).handle_on_named(input, name, Arc::new(work))
        });
        self.working(install, <P::Output as Output<Out>>::topics(), None)
    }

    /// What is done with inputs of one partition together: an async function that takes a `Vec` of
    /// [`Item`](super::Item)s, at most `size` of them, and answers an outcome for each, in their order; or a type
    /// that is [`ProcessBatch`](super::ProcessBatch). A batch that is not full begins `wait` after its first item
    /// has come.
    ///
    /// Batches of a partition are taken in its order, and run one after another. An item that failed is tried
    /// again without the others, in a later batch, and so gives up its place among those of its key.
    #[must_use]
    pub fn process_batch<Args: 'static, P: BatchProcessor<Args>>(
        self,
        size: usize,
        wait: Duration,
        process: P,
    ) -> WorkerBuilder<In, Out, Work>
    where
        In: InputTopics<P::Input> + Send + 'static + Clone,
        <P::Answer as BatchAnswer>::Output: Output<Out>,
    {
        let input = self.input.clone();
        let install: Install = Box::new(move |consumer, name, frame, concurrency| {
            let work = Batched::<P, Args, Out>::new(process, size, wait, concurrency, frame);
            consumer
                .order(Order::Unordered)
                // One batch that runs and one that gathers, of each partition.
                .concurrency(usize::MAX)
                .begun_per_partition(size.saturating_mul(2))
                .handle_on_named(input, name, work)
        });
        let writes = <<P::Answer as BatchAnswer>::Output as Output<Out>>::topics();
        self.working(install, writes, Some((size, wait)))
    }

    fn working(
        self,
        install: Install,
        mut writes: Vec<TopicNeed>,
        batch: Option<(usize, Duration)>,
    ) -> WorkerBuilder<In, Out, Work> {
        let Self { input, output, settings, .. } = self;
        let need = output.need();
        let topic = need.as_ref().map(|need| need.name.clone());
        writes.extend(need);
        let work = Work { install, topic, writes, batch };
        WorkerBuilder { input, output, work, settings }
    }
}

impl<In, Out, W> WorkerBuilder<In, Out, W> {
    /// The consumer group. Default: the worker's name.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.settings.group = Some(group.into());
        self
    }

    /// How many inputs are worked on at once in one member, or how many batches. Default 64.
    #[must_use]
    pub fn concurrency(mut self, inputs: usize) -> Self {
        self.settings.concurrency = inputs;
        self
    }

    /// How many members of the group run in this process. Default 1.
    #[must_use]
    pub fn members(self, members: usize) -> Self {
        self.consumer(|consumer| consumer.members(members))
    }

    /// How long one call of the work may take; then it is dropped and counts as a transient failure. Default
    /// 60 s. What publishing takes is not counted.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// How often a failed input is tried again, in its place: later inputs of its key wait meanwhile. Default: as
    /// the transport's configuration says, which has retry tiers too; with this there are none.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.settings.max_retries = Some(retries);
        self
    }

    /// How long to wait before each retry in place. Default: exponential from 100 ms, at most 1 s, with jitter.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = Some(backoff);
        self
    }

    /// How failed inputs are retried, tiers included; instead of [`max_retries`](Self::max_retries) and
    /// [`backoff`](Self::backoff). An input that moves to a tier gives up its place among those of its key.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.settings.retry = Some(policy);
        self
    }

    /// What becomes of inputs that ran out of retries: `true`, `false`, or the topic that they go to. Default: as the
    /// retry policy says, which is `true` where it says nothing.
    #[must_use]
    pub fn dead_letters(mut self, dead_letters: impl Into<DeadLetters>) -> Self {
        self.settings.dead_letters = Some(dead_letters.into());
        self
    }

    /// Hears of each attempt that has failed, whether it is made again or not. What it does changes nothing.
    #[must_use]
    pub fn on_error<Fut: Future<Output = ()> + Send + 'static>(
        mut self,
        hook: impl Fn(Failed) -> Fut + Send + Sync + 'static,
    ) -> Self {
        self.settings.hooks.error.push(Box::new(move |failed| Box::pin(hook(failed))));
        self
    }

    /// Hears of each input that is done: what follows from it is acknowledged, its offset is not committed yet.
    /// What it does changes nothing.
    #[must_use]
    pub fn on_success<Fut: Future<Output = ()> + Send + 'static>(
        mut self,
        hook: impl Fn(Delivery) -> Fut + Send + Sync + 'static,
    ) -> Self {
        self.settings.hooks.success.push(Box::new(move |delivery| Box::pin(hook(delivery))));
        self
    }

    /// Gives state; the work takes a clone of it as `State<S>`. One value per type.
    #[must_use]
    pub fn state<S: Clone + Send + Sync + 'static>(self, state: S) -> Self {
        self.consumer(|consumer| consumer.state(state))
    }

    /// Says what kind of failure an error of type `E` is; as
    /// [`ConsumerBuilder::classify`](crate::consumer::ConsumerBuilder::classify).
    #[must_use]
    pub fn classify<E: std::error::Error + 'static>(
        self,
        kind: impl Fn(&E) -> FailureKind + Send + Sync + 'static,
    ) -> Self {
        self.consumer(|consumer| consumer.classify(kind))
    }

    /// What is done about topics at start, those of the output too. Default: they must be there.
    #[must_use]
    pub fn topics(self, setup: TopicSetup) -> Self {
        self.consumer(|consumer| consumer.topics(setup))
    }

    /// Declares topics that it reads or that lie beside them; as
    /// [`ConsumerBuilder::declare`](crate::consumer::ConsumerBuilder::declare).
    #[must_use]
    pub fn declare(self, topics: impl IntoIterator<Item = TopicSpec>) -> Self {
        self.consumer(|consumer| consumer.declare(topics))
    }

    /// Names topics that its work writes to and that nothing else says: those of the `Message`s that it answers, or of what
    /// it publishes by itself. They are verified or made at start, as the others are.
    #[must_use]
    pub fn writes(mut self, topics: impl IntoIterator<Item: Into<TopicNeed>>) -> Self {
        self.settings.writes.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Sets whatever else can be set about the consumer that the worker is. What the worker itself sets wins:
    /// concurrency, handler timeout, retries, and the order of batches.
    #[must_use]
    pub fn consumer(mut self, set: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder) -> Self {
        self.settings.consumer = set(self.settings.consumer);
        self
    }
}

impl<In, Out> WorkerBuilder<In, Out, Work> {
    /// The worker, on a transport. Nothing is sent to the broker yet.
    ///
    /// # Errors
    /// The first mistake that was found.
    pub fn build<T: Transport + Clone>(self, transport: &T) -> Result<Worker, BuildError> {
        let Self { mut work, mut settings, .. } = self;
        settings.check()?;
        work.writes.append(&mut settings.writes);
        let Settings { name, group, concurrency, .. } = &settings;
        let setting = |problem: String| Err(BuildError::Setting(problem));
        if let Some((size, wait)) = work.batch {
            let prefetch = transport.consumer_defaults().prefetch;
            if size == 0 || size > prefetch {
                return setting(format!(
                    "worker {name:?} has batches of {size}; a batch has 1 item or more, and not more than are \
                     in memory for a partition (`prefetch`: {prefetch})"
                ));
            }
            if wait.is_zero() {
                return setting(format!(
                    "worker {name:?} waits no time for a batch to fill; without a wait each has one item, \
                     which `.process(…)` does"
                ));
            }
        }
        let (concurrency, group) = (*concurrency, group.clone().unwrap_or_else(|| name.clone()));
        let policy = settings.policy(transport.consumer_defaults().retry);
        let Settings { name, mut consumer, dead_letters, timeout, hooks, .. } = settings;
        if let Some(DeadLetters::To(topic)) = dead_letters {
            consumer = consumer.dead_letter_topic(topic);
        }
        let producer = Producer::new(transport);
        let frame = Arc::new(Frame { timeout, topic: work.topic, producer, hooks });
        let consumer = (work.install)(consumer.group(group), &name, frame, concurrency)
            .retry(policy)
            // The work has its own time; what is published after it has the publisher's.
            .handler_timeout(Duration::MAX)
            .writes(work.writes)
            .build(transport)?;
        writes_elsewhere(&name, &consumer.describe())?;
        Ok(Worker::new(name, consumer, transport.admin()))
    }
}

/// Whether a worker writes to no topic that is its input, or lies beside it.
fn writes_elsewhere(worker: &str, all: &ConsumerDescription) -> Result<(), BuildError> {
    for TopicRoutes { topic, tiers, dead_letter, quarantine, .. } in &all.topics {
        let own = [(topic, "the same: it would read what it writes, without end")];
        let tiers = tiers.iter().map(|(_, tier)| (tier, "one of the input's retry topics"));
        let dead = dead_letter.iter().map(|topic| (topic, "where its own dead letters go"));
        let unread = [(quarantine, "where inputs go that could not be read")];
        let beside = own.into_iter().chain(tiers).chain(dead).chain(unread);
        if let Some((output, what)) =
            beside.into_iter().find(|(topic, _)| all.writes.contains(topic))
        {
            let (worker, input, output) = (worker.to_owned(), topic.clone(), output.clone());
            return Err(BuildError::WritesWhereItReads { worker, input, output, what });
        }
    }
    Ok(())
}
