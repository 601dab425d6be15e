//! A TOML file → the schema of a table.
//!
//! ```toml
//! label = "class"              # default: the table is unlabelled
//! benign = ["normal", "ok"]    # labels that are benign
//! kinds = ["flood", "scan"]    # labels that are attacks; default: every other label
//! categories = ["proto"]
//! numbers = ["bytes", "packets"]
//! ignore = ["id"]
//! others = "refuse"            # or "numbers", "categories", "ignore": columns that are not listed here
//! time = "start"               # seconds since 1970, or a date and time
//! day = "day"
//! group = "device"             # a group split keeps the rows of a device together
//! source = "address"
//! names = ["class", "bytes"]   # for files without a header
//! missing = ["unknown"]        # texts that mean a missing number, in addition to the usual ones
//! ```

use super::{Label, Layout, Role};
use crate::error::TableError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Maximum size of a schema file, bytes.
const MAX_BYTES: u64 = 1 << 20;

/// How to treat columns that the schema does not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    /// They are an error.
    #[default]
    Refuse,
    /// They are numbers.
    Numbers,
    /// They are categories.
    Categories,
    /// They are left out.
    Ignore,
}

/// Meaning of the columns of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schema {
    /// Column with the label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Column with the specific attack name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Labels that are benign, case-insensitive. Default: benign, normal, 0.
    pub benign: Vec<String>,
    /// Labels that are attacks. Default: every other label.
    pub kinds: Vec<String>,
    /// Features that are numbers.
    pub numbers: Vec<String>,
    /// Features that are categories.
    pub categories: Vec<String>,
    /// Columns to leave out.
    pub ignore: Vec<String>,
    /// Columns that are not listed.
    pub others: Others,
    /// Column with the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Column with the day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Column with the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Column with the source address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Column names of files without a header.
    pub names: Vec<String>,
    /// Additional texts that mean a missing number.
    pub missing: Vec<String>,
}

impl Schema {
    /// Reads a schema file.
    ///
    /// # Errors
    /// The file cannot be read, is not a valid schema, or gives a column two roles.
    pub fn load(path: &Path) -> Result<Self, TableError> {
        let failed = |source| TableError::Read { path: path.into(), source };
        let wrong = |found: String| TableError::Format {
            path: path.into(),
            found,
            expected: "a schema: label, benign, kinds, numbers, categories, ignore, others, time, …".into(),
        };
        if std::fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
            return Err(wrong(format!("more than {MAX_BYTES} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let schema: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        schema.check().map_err(wrong)?;
        Ok(schema)
    }

    fn roles(&self) -> Vec<(&str, Role)> {
        let single = [
            (&self.label, Role::Label),
            (&self.detail, Role::Detail),
            (&self.time, Role::Time),
            (&self.day, Role::Day),
            (&self.group, Role::Group),
            (&self.source, Role::Source),
        ];
        let lists = [
            (&self.numbers, Role::Number),
            (&self.categories, Role::Category),
            (&self.ignore, Role::LeftOut("ignored by the schema")),
        ];
        let single = single.into_iter().filter_map(|(name, role)| name.as_deref().map(|name| (name, role)));
        single
            .chain(lists.into_iter().flat_map(|(names, role)| names.iter().map(move |n| (n.as_str(), role))))
            .collect()
    }

    fn check(&self) -> Result<(), String> {
        let roles = self.roles();
        for (index, (name, role)) in roles.iter().enumerate() {
            if let Some((_, other)) = roles[..index].iter().find(|(earlier, _)| earlier == name) {
                return Err(format!("column `{name}` as both {other:?} and {role:?}"));
            }
        }
        if self.numbers.is_empty()
            && self.categories.is_empty()
            && matches!(self.others, Others::Refuse | Others::Ignore)
        {
            return Err("no feature in `numbers` or `categories`".into());
        }
        Ok(())
    }
}

impl Layout for Schema {
    fn role(&self, name: &str) -> Role {
        let named = self.roles().into_iter().find(|(column, _)| *column == name).map(|(_, role)| role);
        named.unwrap_or(match self.others {
            Others::Refuse => Role::Unexpected,
            Others::Numbers => Role::Number,
            Others::Categories => Role::Category,
            Others::Ignore => Role::LeftOut("not listed in the schema"),
        })
    }

    fn required(&self) -> Vec<String> {
        let roles = self.roles().into_iter();
        roles.filter(|(_, role)| !matches!(role, Role::LeftOut(_))).map(|(name, _)| name.to_owned()).collect()
    }

    fn headerless(&self, fields: usize) -> Option<Vec<String>> {
        (!self.names.is_empty() && fields == self.names.len()).then(|| self.names.clone())
    }

    fn has_column(&self, raw: &str) -> bool {
        self.names.iter().any(|name| name == raw.trim())
    }

    fn missing(&self, text: &str) -> bool {
        self.missing.iter().any(|word| word == text)
    }

    fn label(&self, label: &str, detail: &str) -> Result<Label, String> {
        const BENIGN: [&str; 4] = ["benign", "normal", "0", "0.0"];
        let benign = if self.benign.is_empty() {
            BENIGN.iter().any(|name| name.eq_ignore_ascii_case(label))
        } else {
            self.benign.iter().any(|name| name.eq_ignore_ascii_case(label))
        };
        if benign {
            return Ok(Label::benign());
        }
        let kind = match self.kinds.iter().find(|kind| kind.eq_ignore_ascii_case(label)) {
            Some(kind) => kind,
            None if self.kinds.is_empty() && !label.is_empty() => label,
            None if self.kinds.is_empty() => return Err("a label".into()),
            None => return Err(format!("a benign label, or one of {}", self.kinds.join(", "))),
        };
        Ok(Label { detail: (!detail.is_empty()).then(|| detail.to_owned()), ..Label::attack(kind) })
    }
}
