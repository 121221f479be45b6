//! Reading variables. What they are named is in `names.rs`.

use std::collections::BTreeMap;

use super::preset::Preset;
use super::table;
use super::value::HIDDEN;
use super::{InvalidKafkaConfig, KafkaConfig, Origin, Problem, names};

impl KafkaConfig {
    /// The defaults with this process's variables over them.
    ///
    /// # Errors
    /// As [`with_vars`](Self::with_vars).
    pub fn from_env() -> Result<Self, InvalidKafkaConfig> {
        Self::default().with_env()
    }

    /// The defaults with these variables over them.
    ///
    /// # Errors
    /// As [`with_vars`](Self::with_vars).
    pub fn from_vars(
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, InvalidKafkaConfig> {
        Self::default().with_vars(vars)
    }

    /// Sets what this process's variables say, over what is set so far.
    ///
    /// # Errors
    /// As [`with_vars`](Self::with_vars), and when the value of one is not UTF-8.
    pub fn with_env(self) -> Result<Self, InvalidKafkaConfig> {
        let mut problems = Vec::new();
        let vars = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(names::PLAIN))?;
            match value.into_string() {
                Ok(value) => Some((name, value)),
                // Only ours are ours to complain about.
                Err(_) if is_ours(&name) => {
                    problems.push(Problem::new(&[], format!("the value of {name} is not UTF-8")));
                    None
                }
                Err(_) => None,
            }
        });
        let vars: Vec<_> = vars.collect();
        self.read(vars, problems)
    }

    /// Sets what these variables say, over what is set so far.
    ///
    /// # Errors
    /// Everything that is wrong with the variables at once: a name below `KAFKA__` that is no setting's, a value that
    /// cannot be read, two spellings that disagree. With these come the combinations among variables that
    /// [`validate`](Self::validate) would report; where all variables can be read, it is left to find them.
    pub fn with_vars(
        self,
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, InvalidKafkaConfig> {
        self.read(vars, Vec::new())
    }

    fn read(
        mut self,
        vars: impl IntoIterator<Item = (String, String)>,
        mut problems: Vec<Problem>,
    ) -> Result<Self, InvalidKafkaConfig> {
        let vars: BTreeMap<String, String> =
            vars.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect();
        self.read_unknown_and_properties(&vars, &mut problems);
        if let Some((name, text)) = one_of(names::PRESET, false, &vars, &mut problems) {
            match text.trim().parse::<Preset>() {
                Ok(preset) => self = self.with_preset(preset, Origin::Variable(name)),
                Err(error) => {
                    problems.push(Problem::new(&[names::PRESET], format!("{name}: {error}")))
                }
            }
        }
        for setting in table::all() {
            let value = (setting.get_mut)(&mut self.groups);
            let Some((name, text)) = one_of(setting.name, value.is_secret(), &vars, &mut problems)
            else {
                continue;
            };
            // Spaces around a secret may be part of it.
            match value.read(if value.is_secret() { text } else { text.trim() }) {
                Ok(()) => self.came_from(setting.name, Origin::Variable(name)),
                Err(why) => problems.push(Problem::new(&[setting.name], format!("{name}: {why}"))),
            }
        }
        if !problems.is_empty() {
            let more = self.problems_of_variables(&problems);
            problems.extend(more);
        }
        InvalidKafkaConfig::unless_none(problems).map(|()| self)
    }

    /// Variables below our prefix that no row of the table has.
    fn read_unknown_and_properties(
        &mut self,
        vars: &BTreeMap<String, String>,
        problems: &mut Vec<Problem>,
    ) {
        let known: Vec<String> = all_names().map(names::nested).collect();
        let mut seen: BTreeMap<String, &String> = BTreeMap::new();
        for (name, value) in vars.iter().filter(|(name, _)| name.starts_with(names::NESTED)) {
            match name.strip_prefix(names::PROPERTIES) {
                Some(rest) if !rest.is_empty() => {
                    let property = names::property(rest);
                    if let Some(other) = seen.insert(property.clone(), name)
                        && vars[other] != *value
                    {
                        let text = format!(
                            "{other} and {name} both set the property `{property}`, differently"
                        );
                        problems.push(Problem::new(&[], text));
                    }
                    self.passed
                        .insert(property, (value.as_str().into(), Origin::Variable(name.clone())));
                }
                _ if known.contains(name) => {}
                _ => {
                    let nearest = known.iter().min_by_key(|known| distance(known, name));
                    let nearest = nearest.map(String::as_str).unwrap_or_default();
                    let text = format!(
                        "{name} is no setting; the nearest is {nearest}. Other properties of librdkafka go below {}",
                        names::PROPERTIES
                    );
                    problems.push(Problem::new(&[], text));
                }
            }
        }
    }

    /// What does not go together, where a variable has part in it and all of its settings could be read.
    fn problems_of_variables(&self, unread: &[Problem]) -> Vec<Problem> {
        let unread: Vec<&str> = unread.iter().flat_map(Problem::settings).copied().collect();
        let by_variable = |name: &&str| matches!(self.origin(name), Origin::Variable(_));
        let mut problems =
            self.validate().map_or_else(InvalidKafkaConfig::into_problems, |()| Vec::new());
        problems.retain(|problem| {
            let settings = problem.settings();
            settings.iter().any(by_variable) && !settings.iter().any(|name| unread.contains(name))
        });
        problems.extend(self.problems_of_passed());
        problems
    }
}

fn all_names() -> impl Iterator<Item = &'static str> {
    std::iter::once(names::PRESET).chain(table::all().map(|setting| setting.name))
}

fn is_ours(name: &str) -> bool {
    name.starts_with(names::NESTED) || all_names().any(|setting| names::plain(setting) == name)
}

/// The variable of a setting and its text, in whichever spelling. Where both are there they must agree.
fn one_of<'a>(
    setting: &'static str,
    secret: bool,
    vars: &'a BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Option<(String, &'a str)> {
    let (nested, plain) = (names::nested(setting), names::plain(setting));
    match (vars.get(&nested), vars.get(&plain)) {
        (Some(one), Some(other)) if one.trim() != other.trim() => {
            let (one, other) = if secret {
                (HIDDEN.into(), HIDDEN.into())
            } else {
                (format!("{one:?}"), format!("{other:?}"))
            };
            let text =
                format!("{nested} = {one} and {plain} = {other} disagree; leave one of them out");
            problems.push(Problem::new(&[setting], text));
            None
        }
        (Some(text), _) => Some((nested, text)),
        (None, Some(text)) => Some((plain, text)),
        (None, None) => None,
    }
}

/// How many letters must be put in, left out or changed to make one name the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let change = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
#[path = "vars_tests.rs"]
mod tests;
