//! What the user wants to hear of a consumer's life.

use crate::transport::TopicPartition;

type Heard = Box<dyn Fn() + Send + Sync>;
type HeardOf = Box<dyn Fn(&[TopicPartition]) + Send + Sync>;

/// Callbacks, called in the order they were given. They run on the member's own task: short, please.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) started: Vec<Heard>,
    pub(super) assigned: Vec<HeardOf>,
    pub(super) revoked: Vec<HeardOf>,
    pub(super) stopped: Vec<Heard>,
}

impl Hooks {
    pub(super) fn started(&self) {
        self.started.iter().for_each(|hook| hook());
    }

    pub(super) fn assigned(&self, partitions: &[TopicPartition]) {
        self.assigned.iter().for_each(|hook| hook(partitions));
    }

    pub(super) fn revoked(&self, partitions: &[TopicPartition]) {
        self.revoked.iter().for_each(|hook| hook(partitions));
    }

    pub(super) fn stopped(&self) {
        self.stopped.iter().for_each(|hook| hook());
    }
}
