//! What was written, and where: the layers of the configuration as one flat map from dotted keys to values.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use thiserror::Error;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::topology::file::parse_duration_ms;

/// Every key with its default; what is not in it is unknown.
const DEFAULTS: &str = include_str!("default.toml");
/// Below these, any key may stand.
pub(super) const LIBRDKAFKA: &str = "kafka.librdkafka.";
pub(super) const REPLICATION: &str = "store.replication.";
/// Variables with this prefix are ours; `__` separates the parts of a key.
const ENVIRONMENT_PREFIX: &str = "HEARTLINE__";

/// What the configuration is made from.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// Name and text of the file.
    pub file: Option<(&'a str, &'a str)>,
    pub environment: Vec<(String, String)>,
    /// `key=value` each.
    pub sets: &'a [String],
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { name: String, line: usize },
    Environment(String),
    Set,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Set => f.write_str("--set"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("{file}: cannot be read: {message}", file = file.display())]
    Unreadable { file: PathBuf, message: String },
    #[error("{origin}: {message}")]
    Syntax { origin: Origin, message: String },
    #[error("{origin}: there is no key '{key}'{}", nearest.as_ref().map_or_else(String::new, |near|
        format!("; did you mean '{near}'?")))]
    UnknownKey { origin: Origin, key: String, nearest: Option<String> },
    #[error("{origin}: {key}: {message}")]
    BadValue { origin: Origin, key: String, message: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Written {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
}

#[derive(Debug, Clone)]
struct Setting {
    value: Written,
    origin: Origin,
}

/// The layered values.
#[derive(Debug, Clone)]
pub struct Settings(BTreeMap<String, Setting>);

type Layer = Vec<(String, Setting)>;

impl Settings {
    /// Lays the sources over the defaults; refuses keys that do not exist.
    pub fn layered(sources: &Sources<'_>) -> Result<Self, Vec<ConfigError>> {
        let defaults = file_layer("default.toml", DEFAULTS, None).map_err(|error| vec![error])?;
        let mut settings = Self(BTreeMap::new());
        settings.apply(defaults);
        let known: BTreeSet<String> = settings.0.keys().cloned().collect();
        let mut layers = Layer::new();
        if let Some((name, text)) = sources.file {
            layers.extend(file_layer(name, text, Some(&known)).map_err(|error| vec![error])?);
        }
        let from_file = layers.len();
        layers.extend(sources.environment.iter().filter_map(environment_setting));
        for set in sources.sets {
            layers.push(set_setting(set).map_err(|error| vec![error])?);
        }
        let unknown: Vec<ConfigError> = layers
            .iter()
            .filter(|(key, _)| !is_known(&known, key))
            .map(|(key, setting)| unknown_key(&known, key, setting.origin.clone()))
            .collect();
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let written_as_text = layers.split_off(from_file);
        settings.apply(layers);
        for entry in written_as_text {
            let typed = settings.typed(entry).map_err(|error| vec![error])?;
            settings.apply(vec![typed]);
        }
        Ok(settings)
    }

    /// Values of a later layer replace earlier ones; the two forms of `replication` replace each other.
    fn apply(&mut self, layer: Layer) {
        for (key, setting) in layer {
            if key == REPLICATION.trim_end_matches('.') {
                self.0.retain(|other, _| !other.starts_with(REPLICATION));
            } else if key.starts_with(REPLICATION) {
                self.0.remove(REPLICATION.trim_end_matches('.'));
            }
            self.0.insert(key, setting);
        }
    }

    /// Text from the environment or a flag takes the type that the key's default has.
    fn typed(&self, (key, setting): (String, Setting)) -> Result<(String, Setting), ConfigError> {
        let Written::Text(text) = &setting.value else { return Ok((key, setting)) };
        let bad = |message: &str| ConfigError::BadValue {
            origin: setting.origin.clone(),
            key: key.clone(),
            message: message.to_owned(),
        };
        let integer = || text.trim().parse().map(Written::Integer).map_err(|_| bad("must be a whole number"));
        let like = self.0.get(&key).map(|setting| &setting.value);
        let value = match like {
            Some(Written::List(_)) => Written::List(listed(text)),
            Some(Written::Integer(_)) => integer()?,
            Some(Written::Boolean(_)) => match text.trim() {
                "true" => Written::Boolean(true),
                "false" => Written::Boolean(false),
                _ => return Err(bad("must be true or false")),
            },
            _ if key.starts_with(REPLICATION) || key == REPLICATION.trim_end_matches('.') => integer()?,
            _ => setting.value.clone(),
        };
        Ok((key, Setting { value, origin: setting.origin }))
    }

    /// An error about the value of `key`, where it was written.
    pub fn bad(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let origin = self.0.get(key).map_or(Origin::Default, |setting| setting.origin.clone());
        ConfigError::BadValue { origin, key: key.to_owned(), message: message.into() }
    }

    pub fn text(&self, key: &str) -> Result<&str, ConfigError> {
        match self.0.get(key).map(|setting| &setting.value) {
            Some(Written::Text(text)) => Ok(text),
            _ => Err(self.bad(key, "must be a text in quotes")),
        }
    }

    /// A text that is not set when it is empty.
    pub fn optional_text(&self, key: &str) -> Result<Option<&str>, ConfigError> {
        self.text(key).map(|text| (!text.is_empty()).then_some(text))
    }

    pub fn boolean(&self, key: &str) -> Result<bool, ConfigError> {
        match self.0.get(key).map(|setting| &setting.value) {
            Some(Written::Boolean(value)) => Ok(*value),
            _ => Err(self.bad(key, "must be true or false")),
        }
    }

    /// A whole number, if the key is there.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, ConfigError> {
        match self.0.get(key).map(|setting| &setting.value) {
            None => Ok(None),
            Some(Written::Integer(number)) => Ok(Some(*number)),
            Some(_) => Err(self.bad(key, "must be a whole number")),
        }
    }

    /// A list of texts with at least one element.
    pub fn list(&self, key: &str) -> Result<&[String], ConfigError> {
        match self.0.get(key).map(|setting| &setting.value) {
            Some(Written::List(list)) if !list.is_empty() => Ok(list),
            Some(Written::List(_)) => Err(self.bad(key, "must not be empty")),
            _ => Err(self.bad(key, "must be a list of texts")),
        }
    }

    /// `90s` and the like, in milliseconds.
    pub fn duration_ms(&self, key: &str) -> Result<u64, ConfigError> {
        let text = self.text(key)?;
        parse_duration_ms(text).ok_or_else(|| {
            self.bad(
                key,
                format!("'{text}' is no duration; write a number with ms, s, m, h or d, such as 30s"),
            )
        })
    }

    /// What stands below `prefix`, scalars as text, in the order of the keys.
    pub fn below<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, Result<String, ConfigError>)> {
        self.0.iter().filter_map(move |(key, setting)| {
            let name = key.strip_prefix(prefix)?;
            let text = match &setting.value {
                Written::Text(text) => Ok(text.clone()),
                Written::Integer(number) => Ok(number.to_string()),
                Written::Boolean(value) => Ok(value.to_string()),
                Written::List(_) => Err(self.bad(key, "must not be a list")),
            };
            Some((name, text))
        })
    }
}

/// Flattens a file. Sections that lead nowhere are refused here, since an empty one leaves no key behind.
fn file_layer(name: &str, text: &str, known: Option<&BTreeSet<String>>) -> Result<Layer, ConfigError> {
    let origin = |offset: usize| Origin::File { name: name.to_owned(), line: line_of(text, offset) };
    let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        origin: origin(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let mut layer = Layer::new();
    let mut waiting: Vec<(String, &DeTable<'_>)> = vec![(String::new(), document.get_ref())];
    while let Some((prefix, table)) = waiting.pop() {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            let origin = origin(key.span().start);
            if let DeValue::Table(table) = value.get_ref() {
                let section = format!("{path}.");
                let exists = |known: &BTreeSet<String>| {
                    is_known(known, &format!("{section}x"))
                        || known.iter().any(|key| key.starts_with(&section))
                };
                if let Some(known) = known.filter(|known| table.is_empty() && !exists(known)) {
                    return Err(unknown_key(known, &path, origin));
                }
                waiting.push((section, table));
            } else {
                let value = written(value).map_err(|message| ConfigError::BadValue {
                    origin: origin.clone(),
                    key: path.clone(),
                    message,
                })?;
                layer.push((path, Setting { value, origin }));
            }
        }
    }
    Ok(layer)
}

fn written(value: &Spanned<DeValue<'_>>) -> Result<Written, String> {
    Ok(match value.get_ref() {
        DeValue::String(text) => Written::Text(text.clone().into_owned()),
        DeValue::Boolean(value) => Written::Boolean(*value),
        DeValue::Integer(number) => {
            let digits = i64::from_str_radix(number.as_str(), number.radix());
            Written::Integer(digits.map_err(|_| "the number is too large".to_owned())?)
        }
        DeValue::Array(values) => {
            let texts = values.iter().map(|value| value.get_ref().as_str().map(str::to_owned));
            Written::List(texts.collect::<Option<_>>().ok_or("must be a list of texts")?)
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            return Err("must be a text, a whole number, true or false, or a list of texts".to_owned());
        }
    })
}

/// `HEARTLINE__KAFKA__BROKERS` is `kafka.brokers`. Names of data centres keep their case.
fn environment_setting((variable, value): &(String, String)) -> Option<(String, Setting)> {
    let key = variable.strip_prefix(ENVIRONMENT_PREFIX)?.replace("__", ".");
    let lower = key.to_lowercase();
    let key = match lower.strip_prefix(REPLICATION) {
        Some(name) => format!("{REPLICATION}{}", &key[key.len() - name.len()..]),
        None => lower,
    };
    let origin = Origin::Environment(variable.clone());
    Some((key, Setting { value: Written::Text(value.clone()), origin }))
}

fn set_setting(set: &str) -> Result<(String, Setting), ConfigError> {
    let (key, value) = set.split_once('=').ok_or_else(|| ConfigError::Syntax {
        origin: Origin::Set,
        message: format!("'{set}' must be key=value, such as kafka.brokers=127.0.0.1:9092"),
    })?;
    let value = Written::Text(value.to_owned());
    Ok((key.trim().to_owned(), Setting { value, origin: Origin::Set }))
}

fn listed(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn is_known(known: &BTreeSet<String>, key: &str) -> bool {
    let open = |prefix: &str| key.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    known.contains(key) || open(LIBRDKAFKA) || open(REPLICATION)
}

/// Suggests the known key that is nearest, if one is near at all.
fn unknown_key(known: &BTreeSet<String>, key: &str, origin: Origin) -> ConfigError {
    let near = |other: &&String| strsim::damerau_levenshtein(key, other);
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let nearest = known
        .iter()
        .min_by_key(near)
        .filter(|other| near(other) <= key.len().max(3) / 3)
        // The right name in a wrong section, or in none.
        .or_else(|| known.iter().find(|other| last(other) == last(key)))
        .or_else(|| known.iter().find(|other| other.starts_with(&format!("{key}."))))
        .cloned();
    ConfigError::UnknownKey { origin, key: key.to_owned(), nearest }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
