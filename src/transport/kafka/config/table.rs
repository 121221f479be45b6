//! The table of settings, in which each is declared once: its name, text, default, property and range.

use super::groups::{connection, consumer, failure, producer};
use super::value::Value;

/// All values, by group.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    pub(super) connection: connection::ConnectionSettings,
    pub(super) producer: producer::ProducerSettings,
    pub(super) consumer: consumer::ConsumerSettings,
    pub(super) failure: failure::FailureSettings,
}

/// The client that a property is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Any,
    Producer,
    Consumer,
}

/// One setting.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    /// The property that it becomes as it is. Where there is more to it, `properties.rs` writes it.
    pub(super) property: Option<(Client, &'static str)>,
    /// What librdkafka, or sense, takes; milliseconds for durations.
    pub(super) range: Option<(u64, u64)>,
    pub(super) get: fn(&Groups) -> &dyn Value,
    pub(super) get_mut: fn(&mut Groups) -> &mut dyn Value,
    /// Takes the value of other groups.
    pub(super) copy: fn(&mut Groups, &Groups),
}

impl Setting {
    /// The setting of a name.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        all().find(|setting| setting.name == name)
    }

    /// What it does, for people.
    pub(super) fn doc(&self) -> String {
        self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }
}

/// Every setting, group by group.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    [connection::TABLE, producer::TABLE, consumer::TABLE, failure::TABLE].into_iter().flatten()
}

/// Declares a group: its struct, its defaults, its setters on `KafkaConfig` and its part of the table.
///
/// A row reads `NAME field(argument of the setter => stored type) = default => client "property", range low to high;`.
macro_rules! settings {
    (
        $(#[$group_doc:meta])*
        $group:ident at $at:ident {
            $(
                $(#[doc = $doc:literal])*
                $name:ident $field:ident($argument:ty $(=> $stored:ty)?) = $default:expr
                $(=> $client:ident $property:literal)?
                $(, range $low:literal to $high:literal)?;
            )*
        }
    ) => {
        $(#[$group_doc])*
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub struct $group {
            $( $(#[doc = $doc])* pub $field: settings!(@stored $argument $(, $stored)?), )*
        }

        impl Default for $group {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::transport::kafka::config::KafkaConfig {
            $(
                $(#[doc = $doc])*
                #[must_use]
                pub fn $field(mut self, value: impl Into<$argument>) -> Self {
                    let value: $argument = value.into();
                    self.groups.$at.$field = value.into();
                    self.came_from(names::$name, Origin::Code);
                    self
                }
            )*
        }

        pub(in super::super) const TABLE: &[Setting] = &[ $(
            Setting {
                name: names::$name,
                doc: &[$($doc),*],
                property: settings!(@property $($client $property)?),
                range: settings!(@range $($low $high)?),
                get: |groups| &groups.$at.$field,
                get_mut: |groups| &mut groups.$at.$field,
                copy: |to, from| to.$at.$field.clone_from(&from.$at.$field),
            },
        )* ];
    };
    (@stored $argument:ty) => { $argument };
    (@stored $argument:ty, $stored:ty) => { $stored };
    (@property) => { None };
    (@property $client:ident $property:literal) => { Some((Client::$client, $property)) };
    (@range) => { None };
    (@range $low:literal $high:literal) => { Some(($low, $high)) };
}
pub(super) use settings;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::names;
    use super::*;

    #[test]
    fn no_two_settings_share_a_name_or_a_variable() {
        let count = all().count();
        let distinct =
            |text: fn(&str) -> String| all().map(|s| text(s.name)).collect::<HashSet<_>>().len();
        assert_eq!(distinct(names::nested), count);
        assert_eq!(distinct(names::plain), count);
    }

    #[test]
    fn every_setting_says_its_default_as_it_is() {
        let defaults = Groups::default();
        for setting in all() {
            let shown = (setting.get)(&defaults).show();
            let said = if shown.starts_with('(') {
                "Default: none".into()
            } else {
                format!("Default: `{shown}`")
            };
            assert!(setting.doc().contains(&said), "{}: {} ({said})", setting.name, setting.doc());
        }
    }

    #[test]
    fn every_default_is_in_its_range_and_is_read_as_it_is_shown() {
        let mut groups = Groups::default();
        for setting in all() {
            let value = (setting.get)(&groups);
            if let Some((low, high)) = setting.range {
                assert_eq!(value.outside(low, high), None, "{}", setting.name);
            }
            let shown = value.show();
            if !shown.starts_with('(') {
                (setting.get_mut)(&mut groups).read(&shown).unwrap();
                assert_eq!((setting.get)(&groups).show(), shown, "{}", setting.name);
            }
        }
    }
}
