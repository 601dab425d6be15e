//! Column names of a file → the role of each column, and the feature that its values belong to.

use crate::builder::{ColumnType, TableBuilder};
use crate::error::{TableError, listed};
use crate::formats::{Layout, Role};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Columns of one file.
pub(super) struct Plan {
    /// Column names, normalized by the layout.
    pub(super) names: Vec<String>,
    /// Column of the file and type of each feature, in the table's order.
    pub(super) features: Vec<(usize, ColumnType)>,
    pub(super) label: Option<usize>,
    pub(super) detail: Option<usize>,
    pub(super) time: Option<usize>,
    pub(super) day: Option<usize>,
    pub(super) group: Option<usize>,
    pub(super) source: Option<usize>,
    left_out: Vec<(String, String)>,
}

impl Plan {
    pub(super) fn new(
        path: &Path,
        names: &[String],
        layout: &dyn Layout,
        table: Option<&TableBuilder>,
    ) -> Result<Self, TableError> {
        let names = distinct(path, names.iter().map(|name| layout.name(name)).collect(), layout)?;
        let place: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        for required in layout.required() {
            if !place.contains_key(required.as_str()) {
                return Err(missing(path, &required, &names));
            }
        }
        let mut plan = Self::empty();
        let mut features = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match layout.role(name) {
                Role::Number => features.push((at, ColumnType::Number)),
                Role::Category => features.push((at, ColumnType::Category)),
                Role::Label => plan.label = Some(at),
                Role::Detail => plan.detail = Some(at),
                Role::Time => plan.time = Some(at),
                Role::Day => plan.day = Some(at),
                Role::Group => plan.group = Some(at),
                Role::Source => plan.source = Some(at),
                Role::LeftOut(reason) => plan.left_out.push((name.clone(), reason.into())),
                Role::Unexpected => return Err(unexpected(path, name)),
            }
        }
        plan.features = match table {
            None => features,
            Some(table) => plan.fit(path, &names, &place, &features, table)?,
        };
        if plan.features.is_empty() {
            return Err(missing(path, "of any feature", &names));
        }
        plan.names = names;
        Ok(plan)
    }

    fn empty() -> Self {
        Self {
            names: Vec::new(),
            features: Vec::new(),
            label: None,
            detail: None,
            time: None,
            day: None,
            group: None,
            source: None,
            left_out: Vec::new(),
        }
    }

    /// Maps the table's columns to this file; its other features are left out, by name.
    fn fit(
        &mut self,
        path: &Path,
        names: &[String],
        place: &HashMap<&str, usize>,
        features: &[(usize, ColumnType)],
        table: &TableBuilder,
    ) -> Result<Vec<(usize, ColumnType)>, TableError> {
        let mut fitted = Vec::new();
        let mut used = HashSet::new();
        for (name, kind) in table.columns() {
            let at = *place.get(name).ok_or_else(|| missing(path, name, names))?;
            used.insert(at);
            fitted.push((at, kind));
        }
        for (at, _) in features {
            if !used.contains(at) {
                self.left_out.push((names[*at].clone(), "missing in the first file".into()));
            }
        }
        Ok(fitted)
    }

    /// Names and types of the features, for a new table.
    pub(super) fn features(&self) -> Vec<(String, ColumnType)> {
        self.features.iter().map(|(at, kind)| (self.names[*at].clone(), *kind)).collect()
    }

    /// Records in the table which columns are left out, and a missing label column.
    pub(super) fn record(&self, builder: &mut TableBuilder) {
        if self.label.is_none() {
            builder.unlabelled();
        }
        let left_out = &mut builder.counts().left_out;
        left_out.extend(self.left_out.iter().cloned());
    }
}

/// Rejects repeated names, except for formats that have them: there the second gets `.1`, as in pandas.
fn distinct(path: &Path, mut names: Vec<String>, layout: &dyn Layout) -> Result<Vec<String>, TableError> {
    let mut seen = HashSet::new();
    for (at, name) in names.iter_mut().enumerate() {
        if seen.insert(name.clone()) {
            continue;
        }
        if !layout.repeats_names() {
            return Err(TableError::Row {
                path: path.into(),
                row: 1,
                found: format!("repeated name `{name}` of column {}", at + 1),
                expected: "distinct names".into(),
            });
        }
        *name = format!("{name}.1");
        seen.insert(name.clone());
    }
    Ok(names)
}

fn missing(path: &Path, column: &str, names: &[String]) -> TableError {
    TableError::MissingColumn { path: path.into(), column: column.into(), found: listed(names) }
}

fn unexpected(path: &Path, name: &str) -> TableError {
    TableError::Row {
        path: path.into(),
        row: 1,
        found: format!("column `{name}`"),
        expected: "only columns of the schema; add it there, or set `others`".into(),
    }
}
