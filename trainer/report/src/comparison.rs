//! The page of several methods over several seeds, and its JSON.

use crate::error::ReportError;
use crate::facts::{Fact, Note, figure};
use crate::page;
use crate::picture::Picture;
use askama::Template;
use serde::Serialize;

/// One measure of one method over its runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cell {
    /// Mean of the runs; missing where it is not defined in one of them.
    pub mean: Option<f64>,
    /// Standard deviation over the runs; missing with fewer than two.
    pub deviation: Option<f64>,
}

impl Cell {
    /// For people: mean ± deviation.
    pub fn shown(&self) -> String {
        match (self.mean, self.deviation) {
            (Some(mean), Some(deviation)) => format!("{} ± {}", figure(mean), figure(deviation)),
            (Some(mean), None) => figure(mean),
            (None, _) => "–".into(),
        }
    }
}

/// One method.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MethodLine {
    /// Method, or the name that the configuration gives the run.
    pub name: String,
    /// Seeds.
    pub runs: usize,
    /// In the order of [`ComparisonReport::measures`].
    pub cells: Vec<Cell>,
}

/// Everything that a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ComparisonReport {
    /// Heading.
    pub title: String,
    /// The result in one sentence.
    pub summary: String,
    /// What a reader must not overlook.
    pub warnings: Vec<String>,
    /// Data, split, seeds, version.
    pub facts: Vec<Fact>,
    /// Names of the measures.
    pub measures: Vec<String>,
    /// Methods, best first.
    pub methods: Vec<MethodLine>,
    /// Hypothesis tests and further tables.
    pub notes: Vec<Note>,
    /// Pictures.
    pub pictures: Vec<Picture>,
    /// What these figures do not say.
    pub limits: Vec<String>,
    /// Commands that repeat it.
    pub commands: Vec<String>,
}

#[derive(Template)]
#[template(path = "comparison.html")]
struct Page<'a> {
    title: &'a str,
    run: &'a ComparisonReport,
}

impl ComparisonReport {
    /// A page that stands alone.
    ///
    /// # Errors
    /// When the template cannot be filled.
    pub fn html(&self) -> Result<String, ReportError> {
        page::fill(&self.title, &Page { title: &self.title, run: self })
    }

    /// The same facts as JSON.
    ///
    /// # Errors
    /// When a value has no JSON form.
    pub fn json(&self) -> Result<String, ReportError> {
        page::json(&self.title, self)
    }
}
