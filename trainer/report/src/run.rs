//! The page of one evaluation, and its JSON.

use crate::error::ReportError;
use crate::facts::{Fact, KindRow, Measure, Note};
use crate::page;
use crate::picture::Picture;
use askama::Template;
use serde::Serialize;

/// Everything that one evaluation found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunReport {
    /// Heading, like "autoencoder on unsw-nb15".
    pub title: String,
    /// The result in one sentence.
    pub summary: String,
    /// What a reader must not overlook, like a split that repeats rows.
    pub warnings: Vec<String>,
    /// Data, split, seed, method, version.
    pub facts: Vec<Fact>,
    /// Figures.
    pub measures: Vec<Measure>,
    /// By kind.
    pub kinds: Vec<KindRow>,
    /// Further tables.
    pub notes: Vec<Note>,
    /// Pictures; the JSON has their words.
    pub pictures: Vec<Picture>,
    /// What these figures do not say.
    pub limits: Vec<String>,
    /// Commands that repeat it.
    pub commands: Vec<String>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct Page<'a> {
    title: &'a str,
    run: &'a RunReport,
}

impl RunReport {
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
