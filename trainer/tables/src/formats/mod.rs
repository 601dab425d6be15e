//! What the columns and labels of each known kind of file mean.
//!
//! A column is a feature only where it describes traffic. Identifiers, addresses, ports and times are metadata: in
//! every public data set they give the attack away (one attacker's address, one victim's port, one hour), so a model
//! that sees them learns the testbed. They still serve for groups, days and time order.

mod cic;
mod nsl;
mod schema;
mod time;
mod unsw;
mod zeek;

pub use cic::Attempted;
pub use schema::{Others, Schema};

use std::borrow::Cow;

/// What files hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// CIC-IDS2017: the public CSV files with 79 or 85 columns, or the corrected ones with 91.
    CicIds2017 {
        /// What attempted attacks of the corrected files count as.
        attempted: Attempted,
    },
    /// UNSW-NB15: the partition files with a header, or the four raw ones with 49 columns and none.
    UnswNb15,
    /// NSL-KDD: 41 features, attack name, difficulty; no header.
    NslKdd,
    /// Zeek's `conn.log`, as TSV, CSV or JSON lines, also with IoT-23's labels.
    ZeekConn,
    /// Any table that a schema describes.
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

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Number,
    Category,
    Label,
    /// The label's second column.
    Detail,
    Time,
    Day,
    Group,
    Source,
    /// No feature, and why.
    LeftOut(&'static str),
    /// A column that should not be there.
    Unexpected,
}

/// Why columns of several formats are no features.
pub(crate) const IDENTIFIER: &str = "an identifier";
pub(crate) const ADDRESS: &str = "an address: it names the testbed's hosts";
pub(crate) const PORT: &str = "a port: it gives away the testbed's attacked service";

/// What a row's label says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Label {
    /// Attack kind, nothing for benign.
    pub(crate) kind: Option<String>,
    /// Finer attack name.
    pub(crate) detail: Option<String>,
    /// The rule that changed it.
    pub(crate) relabelled: Option<String>,
    /// Why the row is left out.
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

/// How one format reads.
pub(crate) trait Layout {
    /// A column's name, from the name in a header.
    fn name(&self, raw: &str) -> String {
        raw.trim().to_owned()
    }

    /// What a column is for.
    fn role(&self, name: &str) -> Role;

    /// Columns that every file must have.
    fn required(&self) -> Vec<String>;

    /// Names of a file's columns where it has no header; 0 asks for all that there may be.
    fn headerless(&self, fields: usize) -> Option<Vec<String>> {
        let _ = fields;
        None
    }

    /// Whether a text is one of the names in a header; asked only where files may have none.
    fn known(&self, raw: &str) -> bool {
        let _ = raw;
        false
    }

    /// Whether a header may have a name twice.
    fn repeats_names(&self) -> bool {
        false
    }

    /// Separator, where it is not found out.
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

    /// More texts that stand for no number.
    fn missing(&self, text: &str) -> bool {
        let _ = text;
        false
    }

    /// A category as it is kept.
    fn category<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(text)
    }

    /// What a label says, from its two columns.
    ///
    /// # Errors
    /// What was expected, where it is unknown.
    fn label(&self, label: &str, detail: &str) -> Result<Label, String>;

    /// Seconds since 1970.
    fn time(&self, text: &str) -> Option<f64> {
        time::parse(text)
    }

    /// What a time looks like, for messages.
    fn time_format(&self) -> &'static str {
        "seconds since 1970, or a date like 2017-07-03 08:55:58"
    }

    /// Day of a time.
    fn day_of_time(&self, time: f64) -> Option<String> {
        time::date(time)
    }

    /// Day that a file's name tells.
    fn day_of_file(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }
}

/// Letters and digits of a text in lower case: labels are written in many ways.
pub(crate) fn squeezed(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}
