//! What the topics beside a declared main topic have to be.

use std::time::Duration;

use super::plan::TopicPlan;
use crate::event::{Profile, Retention, TopicKind, TopicName, TopicSpec};
use crate::retry::Tier;

/// How much longer than its delay a tier keeps a record at least: for as long a consumer may be away.
const AWAY: Duration = Duration::from_secs(24 * 60 * 60);

impl TopicPlan {
    /// What its topics have to be, the main one first, where the main one is declared like this.
    ///
    /// Tiers have the main topic's copies and retention, which is a day longer than their delay at
    /// least, and its partitions; dead letters and quarantine have the profile `dlq` and at most the
    /// main topic's copies.
    pub fn declared(&self, main: &TopicSpec) -> Vec<TopicSpec> {
        let settings = main.settings();
        let beside = |name: &TopicName, profile: Profile| {
            let spec = TopicSpec::new(name.clone(), TopicKind::Event).profile(profile);
            match settings.replication {
                Some(replication) => spec.replication(replication),
                None => spec,
            }
        };
        let tier = |(tier, name): &(Tier, TopicName)| {
            let mut profile = settings.clone();
            profile.properties.clear();
            profile.retention = Some(match settings.retention {
                Some(Retention::For(kept)) => Retention::For(kept.max(tier.delay() + AWAY)),
                Some(Retention::Forever) => Retention::Forever,
                None => {
                    Retention::For(Duration::from_secs(7 * 24 * 60 * 60).max(tier.delay() + AWAY))
                }
            });
            beside(name, Profile::new("tier", profile))
        };
        std::iter::once(main.clone())
            .chain(self.tiers.iter().map(tier))
            .chain(self.dead_letter.iter().map(|name| beside(name, Profile::dlq())))
            .chain([beside(&self.quarantine, Profile::dlq())])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Replication;
    use crate::retry::RetryPolicy;
    use crate::topic::TopicNaming;

    fn declared(main: TopicSpec) -> Vec<TopicSpec> {
        let policy = RetryPolicy::tiers([5, 600].map(Duration::from_secs));
        let plan = TopicPlan::of(main.name(), "g", &policy, &TopicNaming::default()).unwrap();
        plan.declared(&main)
    }

    fn spec(kind: TopicKind) -> TopicSpec {
        TopicSpec::new(TopicName::from_static("users"), kind).partitions(6)
    }

    #[test]
    fn a_tier_is_like_its_main_topic_and_outlives_its_delay() {
        let minute = Retention::For(Duration::from_secs(60));
        let all = declared(spec(TopicKind::Event).retention(minute).property("segment.ms", "9"));
        let tier = all[2].settings();
        assert_eq!(all[2].name().as_str(), "users.retry.10m");
        assert_eq!(tier.partitions, Some(6));
        assert_eq!(tier.retention, Some(Retention::For(AWAY + Duration::from_secs(600))));
        assert!(tier.properties.is_empty());
    }

    #[test]
    fn what_lies_beside_a_state_topic_is_not_compacted() {
        let all = declared(spec(TopicKind::State));
        let policies: Vec<_> =
            all.iter().map(|spec| spec.configuration(None)["cleanup.policy"].clone()).collect();
        assert_eq!(policies, ["compact", "delete", "delete", "delete", "delete"]);
        assert_eq!(all[1].settings().retention.unwrap().millis(), 604_800_000);
    }

    #[test]
    fn dead_letters_and_quarantine_have_their_profile_and_the_main_topics_copies() {
        let all = declared(spec(TopicKind::Event).replication(Replication::Auto));
        for spec in &all[3..] {
            let settings = spec.settings();
            assert_eq!(
                (settings.partitions, settings.replication),
                (Some(1), Some(Replication::Auto))
            );
            assert_eq!(settings.retention.unwrap().millis(), 30 * 86_400_000);
            assert_eq!(spec.validate(), Ok(()));
        }
    }
}
