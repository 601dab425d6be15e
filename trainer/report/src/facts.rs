//! Facts and figures that pages and JSON share.

use crate::scale::plain;
use serde::{Deserialize, Serialize};

/// One line of "what was done".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Name.
    pub name: String,
    /// Value, with its unit.
    pub value: String,
}

impl Fact {
    /// A fact.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// One figure with what is known of its spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measure {
    /// Name, as `roc-auc`; stable, others script against it.
    pub id: String,
    /// Name for people, with the unit where it has one.
    pub name: String,
    /// Value; missing where it is not defined, like AUC with one class.
    pub value: Option<f64>,
    /// Confidence interval.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interval: Option<(f64, f64)>,
    /// What a reader must know.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
}

impl Measure {
    /// A figure; what is not finite counts as not defined.
    pub fn new(id: impl Into<String>, name: impl Into<String>, value: f64) -> Self {
        Self { id: id.into(), name: name.into(), value: value.is_finite().then_some(value), ..Self::default() }
    }

    /// With its confidence interval.
    pub fn within(mut self, interval: Option<(f64, f64)>) -> Self {
        self.interval = interval.filter(|(low, high)| low.is_finite() && high.is_finite());
        self
    }

    /// With what a reader must know.
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The value for people.
    pub fn shown(&self) -> String {
        self.value.map_or_else(|| "not defined".into(), figure)
    }

    /// The interval for people; empty without one.
    pub fn shown_interval(&self) -> String {
        self.interval.map_or_else(String::new, |(low, high)| format!("{} – {}", figure(low), figure(high)))
    }
}

/// Four decimals for shares, fewer for large values.
pub(crate) fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "not defined".into();
    }
    // What is not 1 never reads as 1.
    if value < 1.0 && value > 0.999_95 {
        return "> 0.9999".into();
    }
    if value.abs() <= 1.0 && (value == 0.0 || value.abs() >= 0.000_1) { format!("{value:.4}") } else { plain(value) }
}

/// How rows of one kind fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KindRow {
    /// Kind.
    pub kind: String,
    /// Rows measured.
    pub rows: usize,
    /// Share of them flagged; for benign rows that is the false-positive rate.
    pub flagged: f64,
    /// Confidence interval of that share.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interval: Option<(f64, f64)>,
    /// Area under the ROC curve of this kind against benign rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auc: Option<f64>,
}

impl KindRow {
    /// Share for people.
    pub fn shown(&self) -> String {
        figure(self.flagged)
    }

    /// Interval for people.
    pub fn shown_interval(&self) -> String {
        self.interval.map_or_else(String::new, |(low, high)| format!("{} – {}", figure(low), figure(high)))
    }

    /// Area for people.
    pub fn shown_auc(&self) -> String {
        self.auc.map_or_else(|| "–".into(), figure)
    }
}

/// A table of words, for what has no form of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Heading.
    pub title: String,
    /// What a reader must know.
    pub text: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// Rows, each as wide as the header.
    pub rows: Vec<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(figure(0.961_23), "0.9612");
        assert_eq!(figure(0.0), "0.0000");
        assert_eq!((figure(0.999_97).as_str(), figure(1.0).as_str()), ("> 0.9999", "1.0000"));
        assert_eq!(figure(12_345.6), "12\u{2009}346");
        assert_eq!(figure(f64::NAN), "not defined");
        assert_eq!(Measure::new("a", "A", f64::NAN).shown(), "not defined");
        assert_eq!(Measure::new("a", "A", 0.5).within(Some((0.4, 0.6))).shown_interval(), "0.4000 – 0.6000");
    }
}
