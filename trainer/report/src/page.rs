//! Template or report → HTML or JSON text.

use crate::error::ReportError;
use askama::Template;

pub(crate) fn render(title: &str, template: &impl Template) -> Result<String, ReportError> {
    template.render().map_err(|error| ReportError::Page { page: title.into(), reason: error.to_string() })
}

/// Serializes a report to JSON with a final newline.
pub(crate) fn json(title: &str, value: &impl serde::Serialize) -> Result<String, ReportError> {
    let failed = |error: serde_json::Error| ReportError::Page { page: title.into(), reason: error.to_string() };
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(failed)
}
