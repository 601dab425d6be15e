//! Facts about a release → its model card as HTML and JSON.
//!
//! A short form of Mitchell et al. 2019, "Model Cards for Model Reporting", readable in a minute.

use crate::error::ReportError;
use crate::facts::{Fact, KindRow, Measure, Note};
use crate::page;
use crate::picture::Picture;
use askama::Template;
use serde::Serialize;

/// Content of a model card.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct ModelCard {
    /// Release, e.g. "home, version 3".
    pub release: String,
    /// Purpose and quality in two sentences.
    pub summary: String,
    /// Warnings, shown at the top.
    pub warnings: Vec<String>,
    /// Version, form, size, digest, signing key, expiry.
    pub model: Vec<Fact>,
    /// Data, split, seed, code version.
    pub data: Vec<Fact>,
    /// Metrics with their intervals.
    pub measures: Vec<Measure>,
    /// Recall by attack type.
    pub kinds: Vec<KindRow>,
    /// Metrics of the int8 network compared with the f32 network.
    pub quantization: Vec<Measure>,
    /// Further tables, e.g. thresholds by false-alert budget.
    pub notes: Vec<Note>,
    pub pictures: Vec<Picture>,
    pub intended: String,
    /// Limitations.
    pub limits: Vec<String>,
    /// Commands that reproduce it.
    pub commands: Vec<String>,
}

#[derive(Template)]
#[template(path = "card.html")]
struct Page<'a> {
    title: &'a str,
    card: &'a ModelCard,
}

impl ModelCard {
    /// Renders a self-contained HTML page.
    ///
    /// # Errors
    /// If the template fails.
    pub fn html(&self) -> Result<String, ReportError> {
        let title = format!("Model card: {}", self.release);
        page::render(&title, &Page { title: &title, card: self })
    }

    /// Serializes the card to JSON.
    ///
    /// # Errors
    /// If a value has no JSON representation.
    pub fn json(&self) -> Result<String, ReportError> {
        page::json(&self.release, self)
    }
}
