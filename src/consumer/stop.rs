//! What a stop left behind.

/// What a consumer had not finished when it stopped. It is uncommitted and will be delivered again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a stop that was not clean is worth a line in the log"]
pub struct StopReport {
    /// Ids of the events that were to be finished and were not: at the deadline their handlers were
    /// running, or they waited for one to end before them or for a retry in place; or they were given
    /// up at once, since they waited for an outage to end or a blocked retry topic.
    pub unfinished: Vec<String>,
    /// Members whose client did not leave the group in time; the broker finds out by itself.
    pub stuck_members: usize,
    /// Why members ended before they were told to.
    pub failures: Vec<String>,
}

impl StopReport {
    /// Whether everything that had begun was finished and committed.
    pub fn is_clean(&self) -> bool {
        self.unfinished.is_empty() && self.stuck_members == 0 && self.failures.is_empty()
    }

    pub(super) fn add(&mut self, member: MemberReport) {
        self.unfinished.extend(member.unfinished);
        self.stuck_members += usize::from(!member.left_group);
        self.failures.extend(member.failed);
    }
}

pub(super) struct MemberReport {
    pub(super) unfinished: Vec<String>,
    pub(super) left_group: bool,
    pub(super) failed: Option<String>,
}

impl MemberReport {
    /// Of a member that is not there.
    pub(super) fn of_nobody(failed: String) -> Self {
        Self { unfinished: Vec::new(), left_group: true, failed: Some(failed) }
    }
}
