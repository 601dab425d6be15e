//! Facts, metrics, tables → text for pages, fields for JSON.

use crate::scale::short_number;
use serde::{Deserialize, Serialize};

/// A named value, e.g. one line of a run's setup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Fact {
    pub name: String,
    /// Value, with its unit.
    pub value: String,
}

impl Fact {
    /// Creates a fact.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// One metric with its confidence interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Measure {
    /// Identifier for scripts, e.g. `roc-auc`; never changes.
    pub id: String,
    /// Display name, with its unit.
    pub name: String,
    /// Value; `None` if undefined, e.g. AUC with a single class.
    pub value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interval: Option<(f64, f64)>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
}

impl Measure {
    /// Creates a metric; a value that is not finite is undefined.
    pub fn new(id: impl Into<String>, name: impl Into<String>, value: f64) -> Self {
        Self { id: id.into(), name: name.into(), value: value.is_finite().then_some(value), ..Self::default() }
    }

    /// Adds a confidence interval.
    pub fn within(mut self, interval: Option<(f64, f64)>) -> Self {
        self.interval = interval.filter(|(low, high)| low.is_finite() && high.is_finite());
        self
    }

    /// Adds a remark.
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The value as text.
    pub fn shown(&self) -> String {
        self.value.map_or_else(|| "undefined".into(), figure)
    }

    /// The interval as text; empty without one.
    pub fn shown_interval(&self) -> String {
        self.interval.map_or_else(String::new, |(low, high)| format!("{} – {}", figure(low), figure(high)))
    }
}

/// A value as text: four decimals for shares, fewer for large values.
pub(crate) fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "undefined".into();
    }
    // A value below 1 is never rounded to 1.
    if value < 1.0 && value > 0.999_95 {
        return "> 0.9999".into();
    }
    if value.abs() <= 1.0 && (value == 0.0 || value.abs() >= 0.000_1) {
        format!("{value:.4}")
    } else {
        short_number(value)
    }
}

/// Results for one attack type, or for benign rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct KindRow {
    /// Attack type.
    pub kind: String,
    pub rows: usize,
    /// Share of the rows above the threshold; for benign rows, the false-positive rate.
    pub flagged: f64,
    /// Confidence interval of that share.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interval: Option<(f64, f64)>,
    /// ROC-AUC of this type against benign rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auc: Option<f64>,
}

impl KindRow {
    /// The share as text.
    pub fn shown(&self) -> String {
        figure(self.flagged)
    }

    /// The interval as text; empty without one.
    pub fn shown_interval(&self) -> String {
        self.interval.map_or_else(String::new, |(low, high)| format!("{} – {}", figure(low), figure(high)))
    }

    /// The AUC as text.
    pub(crate) fn shown_auc(&self) -> String {
        self.auc.map_or_else(|| "–".into(), figure)
    }
}

/// A section with a text and a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Note {
    pub title: String,
    /// Text above the table.
    pub text: String,
    pub header: Vec<String>,
    /// Rows, each with one cell per column.
    pub rows: Vec<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_for_display() {
        assert_eq!(figure(0.961_23), "0.9612");
        assert_eq!(figure(0.0), "0.0000");
        assert_eq!((figure(0.999_97).as_str(), figure(1.0).as_str()), ("> 0.9999", "1.0000"));
        assert_eq!(figure(12_345.6), "12\u{2009}346");
        assert_eq!(figure(f64::NAN), "undefined");
        assert_eq!(Measure::new("a", "A", f64::NAN).shown(), "undefined");
        assert_eq!(Measure::new("a", "A", 0.5).within(Some((0.4, 0.6))).shown_interval(), "0.4000 – 0.6000");
    }
}
