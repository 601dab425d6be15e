//! Filling templates.

use crate::error::ReportError;
use askama::Template;

/// The page that a template makes.
pub(crate) fn fill(title: &str, template: &impl Template) -> Result<String, ReportError> {
    template.render().map_err(|error| ReportError::Page { page: title.into(), reason: error.to_string() })
}

/// What a result weighs as JSON, with a line end.
pub(crate) fn json(title: &str, value: &impl serde::Serialize) -> Result<String, ReportError> {
    let failed = |error: serde_json::Error| ReportError::Page { page: title.into(), reason: error.to_string() };
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(failed)
}
