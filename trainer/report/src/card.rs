//! The model card of a release: what a person must know before trusting it, and the same as JSON.
//!
//! After Mitchell et al. 2019, "Model Cards for Model Reporting", cut to what can be read in a minute.

use crate::error::ReportError;
use crate::facts::{Fact, KindRow, Measure, Note};
use crate::page;
use crate::picture::Picture;
use askama::Template;
use serde::Serialize;

/// Everything a card says.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelCard {
    /// Release, like "home, version 3".
    pub release: String,
    /// What it does and how well, in two sentences.
    pub summary: String,
    /// What a reader must not overlook.
    pub warnings: Vec<String>,
    /// Version, form, size, digest, signing key, expiry.
    pub model: Vec<Fact>,
    /// Data, split, seed, code version.
    pub data: Vec<Fact>,
    /// Figures with their spread.
    pub measures: Vec<Measure>,
    /// Recall by attack.
    pub kinds: Vec<KindRow>,
    /// What int8 costs against f32.
    pub quantization: Vec<Measure>,
    /// Further tables, like the knob's settings.
    pub notes: Vec<Note>,
    /// Pictures.
    pub pictures: Vec<Picture>,
    /// What it was made for.
    pub intended: String,
    /// What it cannot do.
    pub limits: Vec<String>,
    /// Commands that repeat it.
    pub commands: Vec<String>,
}

#[derive(Template)]
#[template(path = "card.html")]
struct Page<'a> {
    title: &'a str,
    card: &'a ModelCard,
}

impl ModelCard {
    /// A page that stands alone.
    ///
    /// # Errors
    /// When the template cannot be filled.
    pub fn html(&self) -> Result<String, ReportError> {
        let title = format!("Model card: {}", self.release);
        page::fill(&title, &Page { title: &title, card: self })
    }

    /// The same facts as JSON.
    ///
    /// # Errors
    /// When a value has no JSON form.
    pub fn json(&self) -> Result<String, ReportError> {
        page::json(&self.release, self)
    }
}
