//! A configuration file as it was written: the right keys with values of the right types, each
//! with its line, and not yet judged.
//!
//! The tables are walked by hand instead of being handed to serde, because each complaint has to
//! name the line and the key alike: serde's errors know the one or the other.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use crate::command::printable;

/// A value and the line it stands in, from 1.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// The whole file.
#[derive(Debug)]
pub(super) struct RawConfig {
    pub(super) name: Option<At<String>>,
    pub(super) machine: Option<At<String>>,
    pub(super) heartbeat_ms: Option<At<i128>>,
    pub(super) election_timeout_ms: Option<At<(i128, i128)>>,
    pub(super) logs: Option<At<String>>,
    pub(super) data: Option<At<String>>,
    pub(super) fsync: Option<At<bool>>,
    pub(super) snapshot_entries: Option<At<i128>>,
    pub(super) segment_kib: Option<At<i128>>,
    pub(super) nodes: Vec<RawNode>,
}

/// One `[[node]]`.
#[derive(Debug)]
pub(super) struct RawNode {
    pub(super) id: At<i128>,
    pub(super) name: At<String>,
    pub(super) address: At<String>,
}

const TOP_KEYS: &[&str] = &["cluster", "storage", "node"];
const CLUSTER_KEYS: &[&str] = &[
    "name",
    "machine",
    "heartbeat_ms",
    "election_timeout_ms",
    "logs",
    "data",
];
const STORAGE_KEYS: &[&str] = &["fsync", "snapshot_entries", "segment_kib"];
const NODE_KEYS: &[&str] = &["id", "name", "address"];

impl RawConfig {
    /// Reads a file's text. `file` is what errors call it.
    pub(super) fn parse(text: &str, file: &str) -> Result<RawConfig, ConfigError> {
        let document = Document { text, file };
        let root = DeTable::parse(text).map_err(|error| document.syntax_error(&error))?;
        let root = Section::new(&document, "", 1, root.get_ref(), TOP_KEYS)?;

        let nothing = DeTable::new();
        let cluster = root.table("cluster", &nothing, CLUSTER_KEYS)?;
        let storage = root.table("storage", &nothing, STORAGE_KEYS)?;

        let mut nodes = Vec::new();
        if let Some((line, value)) = root.get("node") {
            let wrong = |line, value| {
                root.wrong_type(
                    "node",
                    line,
                    "[[node]] in double brackets, once for each node",
                    value,
                )
            };
            for item in value.as_array().ok_or_else(|| wrong(line, value))?.iter() {
                let line = document.line(item.span().start);
                let table = item.get_ref().as_table();
                let table = table.ok_or_else(|| wrong(line, item.get_ref()))?;
                let node = Section::new(&document, "node", line, table, NODE_KEYS)?;
                nodes.push(RawNode {
                    id: node.required("id", Section::integer)?,
                    name: node.required("name", Section::string)?,
                    address: node.required("address", Section::string)?,
                });
            }
        }
        Ok(RawConfig {
            name: cluster.string("name")?,
            machine: cluster.string("machine")?,
            heartbeat_ms: cluster.integer("heartbeat_ms")?,
            election_timeout_ms: cluster.pair("election_timeout_ms")?,
            logs: cluster.string("logs")?,
            data: cluster.string("data")?,
            fsync: storage.boolean("fsync")?,
            snapshot_entries: storage.integer("snapshot_entries")?,
            segment_kib: storage.integer("segment_kib")?,
            nodes,
        })
    }
}

/// The text, to turn positions into lines.
struct Document<'a> {
    text: &'a str,
    file: &'a str,
}

impl Document<'_> {
    fn line(&self, position: usize) -> usize {
        let before = &self.text.as_bytes()[..position.min(self.text.len())];
        1 + before.iter().filter(|&&b| b == b'\n').count()
    }

    /// Shows the line as well, because there may be no key to name.
    fn syntax_error(&self, error: &toml::de::Error) -> ConfigError {
        let position = error.span().map_or(0, |span| span.start);
        // The end of a line often stands for what is missing in it.
        let line = self.line(position);
        let shown = self.text.lines().nth(line - 1).unwrap_or("").trim();
        let message = format!("not TOML ({}): {}", error.message(), clip(shown));
        ConfigError::new(self.file, Some(line), &message)
    }
}

/// A table whose keys are all known.
struct Section<'a> {
    document: &'a Document<'a>,
    /// What stands before the dot in errors: `cluster`, `node`, or nothing at the top.
    name: &'static str,
    line: usize,
    /// Key, line of the key, value.
    entries: Vec<(&'a str, usize, &'a DeValue<'a>)>,
}

impl<'a> Section<'a> {
    fn new(
        document: &'a Document<'a>,
        name: &'static str,
        line: usize,
        table: &'a DeTable<'a>,
        known: &[&'static str],
    ) -> Result<Section<'a>, ConfigError> {
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let name: &'a std::borrow::Cow<'a, str> = key.get_ref();
            (
                name.as_ref(),
                document.line(key.span().start),
                value.get_ref(),
            )
        };
        let section = Section {
            document,
            name,
            line,
            entries: table.iter().map(entry).collect(),
        };
        let unknown = section
            .entries
            .iter()
            .filter(|(key, ..)| !known.contains(key));
        match unknown.min_by_key(|(_, line, _)| *line) {
            Some(&(key, line, _)) => {
                let message = match suggestion(key, name, known) {
                    Some(better) => format!("unknown key; did you mean {better}?"),
                    None => format!("unknown key; the keys here are {}", known.join(", ")),
                };
                Err(section.error(key, line, &message))
            }
            None => Ok(section),
        }
    }

    /// The table of that name; `nothing` where there is none.
    fn table(
        &self,
        name: &'static str,
        nothing: &'a DeTable<'a>,
        known: &[&'static str],
    ) -> Result<Section<'a>, ConfigError> {
        let (table, line) = match self.get(name) {
            None => (nothing, 1),
            Some((line, value)) => match value.as_table() {
                Some(table) => (table, line),
                None => {
                    let wanted = format!("a table: [{name}]");
                    return Err(self.wrong_type(name, line, &wanted, value));
                }
            },
        };
        Section::new(self.document, name, line, table, known)
    }

    fn get(&self, key: &str) -> Option<(usize, &'a DeValue<'a>)> {
        let entry = self.entries.iter().find(|(name, ..)| *name == key);
        entry.map(|&(_, line, value)| (line, value))
    }

    fn string(&self, key: &str) -> Result<Option<At<String>>, ConfigError> {
        let Some((line, value)) = self.get(key) else {
            return Ok(None);
        };
        match value.as_str() {
            Some(text) => Ok(Some(At {
                value: text.to_string(),
                line,
            })),
            None => Err(self.wrong_type(key, line, "a string in quotes", value)),
        }
    }

    fn integer(&self, key: &str) -> Result<Option<At<i128>>, ConfigError> {
        let Some((line, value)) = self.get(key) else {
            return Ok(None);
        };
        match integer(value) {
            Some(value) => Ok(Some(At { value, line })),
            None => Err(self.wrong_type(key, line, "a whole number", value)),
        }
    }

    fn boolean(&self, key: &str) -> Result<Option<At<bool>>, ConfigError> {
        let Some((line, value)) = self.get(key) else {
            return Ok(None);
        };
        match value.as_bool() {
            Some(value) => Ok(Some(At { value, line })),
            None => Err(self.wrong_type(key, line, "true or false", value)),
        }
    }

    fn pair(&self, key: &str) -> Result<Option<At<(i128, i128)>>, ConfigError> {
        let Some((line, value)) = self.get(key) else {
            return Ok(None);
        };
        let wanted = "two whole numbers, such as [150, 300]";
        let items = value
            .as_array()
            .map(|array| array.iter().collect::<Vec<_>>());
        let items = items.ok_or_else(|| self.wrong_type(key, line, wanted, value))?;
        let numbers: Vec<Option<i128>> = items.iter().map(|item| integer(item.get_ref())).collect();
        match numbers[..] {
            [Some(low), Some(high)] => Ok(Some(At {
                value: (low, high),
                line,
            })),
            _ => Err(self.error(key, line, &format!("write {wanted}"))),
        }
    }

    fn required<T>(
        &self,
        key: &str,
        read: impl Fn(&Self, &str) -> Result<Option<At<T>>, ConfigError>,
    ) -> Result<At<T>, ConfigError> {
        read(self, key)?.ok_or_else(|| {
            let message = format!("missing; a [[node]] has {}", NODE_KEYS.join(", "));
            self.error(key, self.line, &message)
        })
    }

    fn wrong_type(&self, key: &str, line: usize, wanted: &str, found: &DeValue) -> ConfigError {
        let message = format!("write {wanted}; this is of type {}", found.type_str());
        self.error(key, line, &message)
    }

    fn error(&self, key: &str, line: usize, message: &str) -> ConfigError {
        let key = clip(key);
        let key = match self.name {
            "" => key,
            name => format!("{name}.{key}"),
        };
        ConfigError::new(self.document.file, Some(line), &format!("{key}: {message}"))
    }
}

fn integer(value: &DeValue) -> Option<i128> {
    let integer = value.as_integer()?;
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A string from the file as an error shows it.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", clip(text))
}

/// Text from the file as an error shows it: printable and of bounded length.
fn clip(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", printable(&text[..end])),
        None => printable(text).into_owned(),
    }
}

/// The key that was probably meant.
fn suggestion(key: &str, section: &str, known: &[&'static str]) -> Option<String> {
    let near = |name: &&&str| {
        let (key, name) = (key.to_ascii_lowercase(), **name);
        let contained = key.len() >= 3 && (name.contains(&key) || key.contains(name));
        contained || distance(&key, name) <= 2.min(name.len() / 2)
    };
    if let Some(name) = known.iter().find(near) {
        return Some(name.to_string());
    }
    match section {
        "" if CLUSTER_KEYS.contains(&key) => Some(format!("{key} below [cluster]")),
        "" | "cluster" if STORAGE_KEYS.contains(&key) => Some(format!("{key} below [storage]")),
        "" if NODE_KEYS.contains(&key) => Some(format!("{key} below [[node]]")),
        _ => None,
    }
}

/// How many letters must be added, removed or changed to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 2 * b.len() + 2 {
        return a.len();
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
