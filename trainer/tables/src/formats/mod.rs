//! Names and labels in a file → their meaning, for each supported format.
//!
//! A column is a feature only if it describes traffic. Identifiers, addresses, ports and times are metadata: in every
//! public data set they give the attack away (one attacker's address, one victim's port, one hour), so a model with
//! them learns the testbed. They are still used for groups, days and time order.

mod cic;
mod nsl;
mod schema;
mod time;
mod unsw;
mod zeek;

pub use cic::Attempted;
pub use schema::{Others, Schema};

use std::borrow::Cow;

/// Format of the files.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// CIC-IDS2017: the public CSV files with 79 or 85 columns, or the corrected ones with 91.
    CicIds2017 {
        /// How to label attempted attacks of the corrected files.
        attempted: Attempted,
    },
    /// UNSW-NB15: the partition files with a header, or the four raw files with 49 columns and no header.
    UnswNb15,
    /// NSL-KDD: 41 features, attack name, difficulty; no header.
    NslKdd,
    /// Zeek's `conn.log` as TSV, CSV or JSON lines, optionally with IoT-23's labels.
    ZeekConn,
    /// Any table, described by a schema.
    Table(Box<Schema>),
}

impl Format {
    pub(crate) fn layout(&self) -> Box<dyn Layout> {
        match self {
            Self::CicIds2017 { attempted } => Box::new(cic::Cic { attempted: *attempted }),
            Self::UnswNb15 => Box::new(unsw::Unsw),
            Self::NslKdd => Box::new(nsl::Nsl),
            Self::ZeekConn => Box::new(zeek::Zeek),
            Self::Table(schema) => schema.clone(),
        }
    }

    /// Name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CicIds2017 { .. } => "cic-ids2017",
            Self::UnswNb15 => "unsw-nb15",
            Self::NslKdd => "nsl-kdd",
            Self::ZeekConn => "zeek-conn",
            Self::Table(_) => "table",
        }
    }
}

/// Role of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Number,
    Category,
    Label,
    /// The second label column.
    Detail,
    Time,
    Day,
    Group,
    Source,
    /// Not a feature, with the reason.
    LeftOut(&'static str),
    /// A column that the format does not allow.
    Unexpected,
}

/// Reasons why columns are not features, shared by several formats.
pub(crate) const IDENTIFIER: &str = "an identifier";
pub(crate) const ADDRESS: &str = "an address: it identifies hosts of the testbed";
pub(crate) const PORT: &str = "a port: it identifies the attacked service of the testbed";

/// Meaning of a row's label.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Label {
    /// Attack kind; `None` for benign.
    pub(crate) kind: Option<String>,
    /// Specific attack name.
    pub(crate) detail: Option<String>,
    /// The rule that changed the label.
    pub(crate) relabelled: Option<String>,
    /// Why the row is dropped.
    pub(crate) drop: Option<String>,
}

impl Label {
    pub(crate) fn benign() -> Self {
        Self::default()
    }

    pub(crate) fn attack(kind: &str) -> Self {
        Self { kind: Some(kind.to_owned()), ..Self::default() }
    }
}

/// Rules of one format.
pub(crate) trait Layout {
    /// Normalizes a column name of a header.
    fn name(&self, raw: &str) -> String {
        raw.trim().to_owned()
    }

    /// Role of a column.
    fn role(&self, name: &str) -> Role;

    /// Columns that every file must contain.
    fn required(&self) -> Vec<String>;

    /// Column names for a file without a header, by its number of fields; 0 returns all possible names.
    fn headerless(&self, fields: usize) -> Option<Vec<String>> {
        let _ = fields;
        None
    }

    /// Whether a text is a column name; used to detect a missing header.
    fn has_column(&self, raw: &str) -> bool {
        let _ = raw;
        false
    }

    /// Whether a header may contain a name twice.
    fn repeats_names(&self) -> bool {
        false
    }

    /// Separator; `None` detects it.
    fn delimiter(&self) -> Option<u8> {
        None
    }

    /// Whether files may start with Zeek's `#` lines.
    fn zeek(&self) -> bool {
        false
    }

    /// Whether files may be JSON lines.
    fn json(&self) -> bool {
        false
    }

    /// Whether a feature is 0 or 1 by its definition.
    fn flag(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Whether a text means a missing number, in addition to the usual ones.
    fn missing(&self, text: &str) -> bool {
        let _ = text;
        false
    }

    /// Normalizes a category.
    fn category<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(text)
    }

    /// Meaning of a label, from its two columns.
    ///
    /// # Errors
    /// An unknown label; returns what was expected.
    fn label(&self, label: &str, detail: &str) -> Result<Label, String>;

    /// Parses a time into seconds since 1970.
    fn time(&self, text: &str) -> Option<f64> {
        time::parse(text)
    }

    /// The expected time format, for messages.
    fn time_format(&self) -> &'static str {
        "seconds since 1970, or a date like 2017-07-03 08:55:58, 2017/07/03 or 03/07/2017"
    }

    fn day_of_time(&self, time: f64) -> Option<String> {
        time::date(time)
    }

    /// Day in a file name.
    fn day_of_file(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }
}

/// Letters and digits of a text in lower case, to compare spellings of labels.
pub(crate) fn squeezed(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}
