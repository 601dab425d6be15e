//! Rows, one after the other → a [`Table`], stored column by column.

use crate::column::{Column, Values};
use crate::error::{TableError, listed, shown};
use crate::keys;
use crate::table::{BENIGN, Coded, Counts, Repairs, SourceFile, Table};
use std::collections::HashMap;

/// Maximum number of categories in one column.
pub(crate) const MAX_CATEGORIES: usize = 1 << 16;
/// Maximum number of attack kinds.
pub(crate) const MAX_KINDS: usize = 1 << 10;
/// Maximum number of distinct texts of each kind of metadata (addresses, days, groups, attack names).
const MAX_TEXTS: usize = 1 << 22;
/// The category of missing values.
pub(crate) const NO_CATEGORY: &str = "-";

/// The type of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum ColumnType {
    Number,
    /// One of a set of texts.
    Category,
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum Value<'a> {
    /// A number; if not finite, it becomes missing and is counted.
    Number(f32),
    Category(&'a str),
    /// No value.
    Missing,
}

/// Label and metadata of a row; the default is a benign row without metadata.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Row<'a> {
    /// Attack kind; `None` for benign.
    pub attack: Option<&'a str>,
    /// Specific attack name.
    pub detail: Option<&'a str>,
    /// Seconds since 1970.
    pub time: Option<f64>,
    pub day: Option<&'a str>,
    /// Named group (device, capture).
    pub group: Option<&'a str>,
    /// Source address.
    pub source: Option<&'a str>,
    /// Row of its file, from 1.
    pub file_row: u64,
}

#[derive(Default)]
struct Texts {
    coded: Coded,
    codes: HashMap<String, u32>,
    used: bool,
}

impl Texts {
    fn push(&mut self, text: Option<&str>) -> bool {
        self.used |= text.is_some();
        let text = text.unwrap_or("");
        let code = match self.codes.get(text) {
            Some(code) => *code,
            None if self.coded.names.len() >= MAX_TEXTS => return false,
            None => {
                let code = self.coded.names.len() as u32;
                self.coded.names.push(text.to_owned());
                self.codes.insert(text.to_owned(), code);
                code
            }
        };
        self.coded.codes.push(code);
        true
    }

    fn finish(mut self) -> Option<Coded> {
        self.coded.codes.shrink_to_fit();
        self.used.then_some(self.coded)
    }
}

/// Builds a table.
pub struct TableBuilder {
    table: Table,
    lookup: Vec<HashMap<String, u16>>,
    repairs: Vec<Repairs>,
    /// Of each feature, see [`Table::exact`].
    exact: Vec<Vec<(u32, f64)>>,
    kinds: HashMap<String, u16>,
    details: Texts,
    days: Texts,
    groups: Texts,
    sources: Texts,
    times: Vec<f64>,
    timed: bool,
}

impl TableBuilder {
    /// An empty table with these features.
    ///
    /// # Errors
    /// No feature, or two of the same name.
    pub fn new<N: Into<String>>(columns: impl IntoIterator<Item = (N, ColumnType)>) -> Result<Self, TableError> {
        let mut table = Table { kinds: vec![BENIGN.into()], labelled: true, ..Table::default() };
        for (name, kind) in columns {
            let name = name.into();
            if table.column(&name).is_some() {
                return Err(unfit("feature names must differ", format!("`{name}` occurs twice"), "rename one"));
            }
            let values = match kind {
                ColumnType::Number => Values::Numbers(Vec::new()),
                ColumnType::Category => Values::Categories { names: Vec::new(), codes: Vec::new() },
            };
            table.columns.push(Column { name, values });
        }
        if table.columns.is_empty() {
            return Err(unfit("a table needs a feature", "it has no features".into(), "add at least one"));
        }
        let count = table.columns.len();
        Ok(Self {
            table,
            lookup: (0..count).map(|_| HashMap::new()).collect(),
            repairs: vec![Repairs::default(); count],
            exact: vec![Vec::new(); count],
            kinds: HashMap::from([(BENIGN.to_owned(), 0)]),
            details: Texts::default(),
            days: Texts::default(),
            groups: Texts::default(),
            sources: Texts::default(),
            times: Vec::new(),
            timed: false,
        })
    }

    /// Number of rows so far.
    pub fn rows(&self) -> usize {
        self.table.kind.len()
    }

    /// Rows read so far, kept or dropped.
    pub(crate) fn rows_read(&self) -> u64 {
        self.table.counts.rows_read
    }

    /// Marks the table as unlabelled.
    pub fn unlabelled(&mut self) {
        self.table.labelled = false;
    }

    /// Starts a file, to which the following rows belong. At most 65,535 files.
    ///
    /// # Errors
    /// Too many files.
    pub fn file(&mut self, name: &str, sha256: &str, part: u8) -> Result<(), TableError> {
        if self.table.files.len() >= usize::from(u16::MAX) {
            return Err(TableError::Limit {
                at: name.into(),
                what: "files".into(),
                limit: format!("{}", u16::MAX),
                advice: "join files before reading".into(),
            });
        }
        self.table.files.push(SourceFile { name: name.into(), sha256: sha256.into(), rows: 0, part });
        Ok(())
    }

    /// Adds a row: one value for each feature.
    ///
    /// # Errors
    /// A wrong number or type of values; too many categories, kinds or texts.
    pub fn push(&mut self, values: &[Value<'_>], row: &Row<'_>) -> Result<(), TableError> {
        if values.len() != self.table.columns.len() {
            let found = format!("{} values", values.len());
            return Err(unfit(
                &format!("a row needs {} values", self.table.columns.len()),
                found,
                "give one value for each feature",
            ));
        }
        for (index, value) in values.iter().enumerate() {
            self.push_value(index, *value, row.file_row)?;
        }
        self.end_row(row)
    }

    /// Adds the value of one feature; call [`Self::end_row`] after the last one.
    pub(crate) fn push_value(&mut self, index: usize, value: Value<'_>, file_row: u64) -> Result<(), TableError> {
        match (&self.table.columns[index].values, value) {
            (Values::Numbers(_), Value::Number(number)) => self.push_number(index, number, false),
            (Values::Numbers(_), Value::Missing) => self.push_number(index, f32::NAN, false),
            (Values::Categories { .. }, Value::Category(text)) => return self.push_category(index, text),
            (Values::Categories { .. }, Value::Missing) => {
                self.repairs[index].missing += 1;
                return self.push_category(index, NO_CATEGORY);
            }
            (values, value) => {
                let expected = if values.numbers().is_some() { "a number" } else { "a category" };
                return Err(TableError::Value {
                    path: self.file_name().into(),
                    row: file_row,
                    column: self.table.columns[index].name.clone(),
                    found: format!("{value:?}"),
                    expected: expected.into(),
                });
            }
        }
        Ok(())
    }

    /// Adds a number; a flag above 1 becomes 1.
    pub(crate) fn push_number(&mut self, index: usize, number: f32, flag: bool) {
        let stray = flag && number.is_finite() && number > 1.0;
        self.repairs[index].stray += u64::from(stray);
        self.repairs[index].infinite += u64::from(number.is_infinite());
        self.repairs[index].missing += u64::from(number.is_nan());
        if let Values::Numbers(numbers) = &mut self.table.columns[index].values {
            numbers.push(match number {
                _ if stray => 1.0,
                _ if number.is_finite() => number,
                _ => f32::NAN,
            });
        }
    }

    /// Adds the exact value of a number that `f32` rounds, before [`Self::push_number`].
    pub(crate) fn push_exact(&mut self, index: usize, exact: f64) {
        if let Ok(row) = u32::try_from(self.rows()) {
            self.exact[index].push((row, exact));
        }
    }

    /// Names and types of the features.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&str, ColumnType)> {
        self.table.columns.iter().map(|column| {
            let kind = if column.values.numbers().is_some() { ColumnType::Number } else { ColumnType::Category };
            (column.name.as_str(), kind)
        })
    }

    fn push_category(&mut self, index: usize, text: &str) -> Result<(), TableError> {
        let Values::Categories { names, codes } = &mut self.table.columns[index].values else { return Ok(()) };
        if let Some(code) = self.lookup[index].get(text) {
            codes.push(*code);
            return Ok(());
        }
        if names.len() >= MAX_CATEGORIES {
            return Err(TableError::Limit {
                at: format!("column {}", self.table.columns[index].name),
                what: format!("another category (`{}`)", shown(text.as_bytes())),
                limit: format!("{MAX_CATEGORIES} categories per column"),
                advice: "if it is an identifier, exclude it; if it is a number, declare its type".into(),
            });
        }
        let code = names.len() as u16;
        names.push(text.to_owned());
        codes.push(code);
        self.lookup[index].insert(text.to_owned(), code);
        Ok(())
    }

    /// Ends a row, after the values of all features.
    pub(crate) fn end_row(&mut self, row: &Row<'_>) -> Result<(), TableError> {
        let kind = self.kind(row.attack)?;
        let fits = self.details.push(row.detail)
            && self.days.push(row.day)
            && self.groups.push(row.group)
            && self.sources.push(row.source);
        if !fits {
            return Err(TableError::Limit {
                at: format!("{}, row {}", self.file_name(), row.file_row),
                what: "another distinct address, group, day or attack name".into(),
                limit: format!("{MAX_TEXTS} distinct texts"),
                advice: "exclude that column".into(),
            });
        }
        self.timed |= row.time.is_some();
        self.times.push(row.time.unwrap_or(f64::NAN));
        let table = &mut self.table;
        table.kind.push(kind);
        if table.files.is_empty() {
            table.files.push(SourceFile { name: "rows".into(), sha256: String::new(), rows: 0, part: 0 });
        }
        if let Some(file) = table.files.last_mut() {
            file.rows += 1;
            table.part.push(file.part);
        }
        table.file.push((table.files.len() - 1) as u16);
        table.file_row.push(u32::try_from(row.file_row).unwrap_or(u32::MAX));
        Ok(())
    }

    fn kind(&mut self, attack: Option<&str>) -> Result<u16, TableError> {
        let Some(attack) = attack else { return Ok(0) };
        if let Some(kind) = self.kinds.get(attack) {
            return Ok(*kind);
        }
        if self.table.kinds.len() >= MAX_KINDS {
            return Err(TableError::Limit {
                at: self.file_name(),
                what: format!("another attack class (`{}`)", shown(attack.as_bytes())),
                limit: format!("{MAX_KINDS} kinds"),
                advice: format!("check the label column; classes so far: {}", listed(&self.table.kinds)),
            });
        }
        let kind = self.table.kinds.len() as u16;
        self.table.kinds.push(attack.to_owned());
        self.kinds.insert(attack.to_owned(), kind);
        Ok(kind)
    }

    /// Counts of dropped, repaired and relabelled rows, stored in the table.
    pub(crate) fn counts(&mut self) -> &mut Counts {
        &mut self.table.counts
    }

    /// Sets the digest of the last file, which is known only after reading.
    pub(crate) fn file_digest(&mut self, sha256: String) {
        if let Some(file) = self.table.files.last_mut() {
            file.sha256 = sha256;
        }
    }

    /// Approximate memory so far, bytes.
    pub(crate) fn bytes(&self) -> usize {
        let exact: usize = self.exact.iter().map(|values| values.len() * size_of::<(u32, f64)>()).sum();
        self.rows().saturating_mul(self.bytes_per_row()).saturating_add(exact)
    }

    /// Approximate memory per row, bytes.
    fn bytes_per_row(&self) -> usize {
        let features: usize = self.table.columns.iter().map(|c| if c.values.numbers().is_some() { 4 } else { 2 }).sum();
        // Kind, key, time, four text codes, part, file and row of the file.
        features + 2 + 8 + 8 + 16 + 1 + 2 + 4
    }

    fn file_name(&self) -> String {
        self.table.files.last().map_or_else(|| "rows".into(), |file| file.name.clone())
    }

    /// Completes the table.
    ///
    /// # Errors
    /// No rows.
    pub fn finish(self) -> Result<Table, TableError> {
        let mut table = self.table;
        if table.kind.is_empty() {
            let dropped: u64 = table.counts.dropped.values().sum();
            return Err(unfit(
                "a table needs rows",
                format!("none of {} were kept ({dropped} dropped)", table.counts.rows_read),
                "check the files and the reasons for dropping",
            ));
        }
        for column in &mut table.columns {
            match &mut column.values {
                Values::Numbers(numbers) => numbers.shrink_to_fit(),
                Values::Categories { codes, .. } => codes.shrink_to_fit(),
            }
        }
        for (column, repairs) in table.columns.iter().zip(self.repairs) {
            if repairs != Repairs::default() {
                table.counts.repaired.insert(column.name.clone(), repairs);
            }
        }
        let exact = table.columns.iter().map(|column| column.name.clone()).zip(self.exact);
        table.exact = exact.filter(|(_, values)| !values.is_empty()).collect();
        table.counts.rows_read = table.counts.rows_read.max(table.kind.len() as u64);
        table.details = self.details.finish();
        table.days = self.days.finish();
        table.groups = self.groups.finish();
        table.sources = self.sources.finish();
        table.times = self.timed.then_some(self.times);
        table.keys = keys::row_keys(&table.columns, table.kind.len());
        Ok(table)
    }
}

fn unfit(needs: &str, found: String, advice: &str) -> TableError {
    TableError::Unfit { needs: needs.into(), found, advice: advice.into() }
}

#[cfg(test)]
mod tests;
