//! Results of several methods over several seeds → comparison page as HTML and JSON.

use crate::error::ReportError;
use crate::facts::{Fact, Note, figure};
use crate::page;
use crate::picture::Picture;
use askama::Template;
use serde::Serialize;

/// One metric of one method over its runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cell {
    /// Mean over the runs; `None` if undefined for any run.
    pub mean: Option<f64>,
    /// Standard deviation over the runs; `None` for fewer than two.
    pub deviation: Option<f64>,
}

impl Cell {
    /// Mean ± standard deviation as text.
    pub fn shown(&self) -> String {
        match (self.mean, self.deviation) {
            (Some(mean), Some(deviation)) => format!("{} ± {}", figure(mean), figure(deviation)),
            (Some(mean), None) => figure(mean),
            (None, _) => "–".into(),
        }
    }
}

/// A line of the table: one method over all seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MethodLine {
    /// Method, or the name of the run in the configuration.
    pub name: String,
    /// Number of seeds.
    pub runs: usize,
    /// In the order of [`ComparisonReport::measures`].
    pub cells: Vec<Cell>,
}

/// Content of a comparison page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct ComparisonReport {
    pub title: String,
    /// The result in one sentence.
    pub summary: String,
    /// Warnings, shown at the top.
    pub warnings: Vec<String>,
    /// Data, split, seeds, version.
    pub facts: Vec<Fact>,
    /// Names of the metrics.
    pub measures: Vec<String>,
    /// Methods, best first.
    pub methods: Vec<MethodLine>,
    /// Hypothesis tests and further tables.
    pub notes: Vec<Note>,
    pub pictures: Vec<Picture>,
    /// Limitations.
    pub limits: Vec<String>,
    /// Commands that reproduce it.
    pub commands: Vec<String>,
}

#[derive(Template)]
#[template(path = "comparison.html")]
struct Page<'a> {
    title: &'a str,
    run: &'a ComparisonReport,
}

impl ComparisonReport {
    /// Renders a self-contained HTML page.
    ///
    /// # Errors
    /// If the template fails.
    pub fn html(&self) -> Result<String, ReportError> {
        page::render(&self.title, &Page { title: &self.title, run: self })
    }

    /// Serializes the report to JSON.
    ///
    /// # Errors
    /// If a value has no JSON representation.
    pub fn json(&self) -> Result<String, ReportError> {
        page::json(&self.title, self)
    }
}
