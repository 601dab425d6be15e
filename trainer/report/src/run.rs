//! Results of one run → report page as HTML and JSON.

use crate::error::ReportError;
use crate::facts::{Fact, KindRow, Measure, Note};
use crate::page;
use crate::picture::Picture;
use askama::Template;
use serde::Serialize;

/// Content of a report page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct RunReport {
    /// Title, e.g. "autoencoder on unsw-nb15".
    pub title: String,
    /// The result in one sentence.
    pub summary: String,
    /// Warnings, shown at the top, e.g. that a split repeats rows.
    pub warnings: Vec<String>,
    /// Data, split, seed, method, version.
    pub facts: Vec<Fact>,
    pub measures: Vec<Measure>,
    /// Results by attack type.
    pub kinds: Vec<KindRow>,
    pub notes: Vec<Note>,
    /// Charts; the JSON contains their titles and captions.
    pub pictures: Vec<Picture>,
    /// Limitations.
    pub limits: Vec<String>,
    /// Commands that reproduce it.
    pub commands: Vec<String>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct Page<'a> {
    title: &'a str,
    run: &'a RunReport,
}

impl RunReport {
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
