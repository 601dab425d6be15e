//! Rendering failure → which chart or page failed, and why.

/// Why a chart or page could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum ReportError {
    /// No finite values to draw.
    #[error("chart \"{picture}\": no finite values to draw, expected at least {expected}")]
    Empty {
        /// Title of the chart.
        picture: String,
        expected: &'static str,
    },
    /// Sizes of the input do not match.
    #[error("chart \"{picture}\": {found} {what}, expected {expected}")]
    Shape {
        /// Title of the chart.
        picture: String,
        what: &'static str,
        found: usize,
        expected: usize,
    },
    /// The drawing library failed.
    #[error("chart \"{picture}\": cannot draw: {reason}")]
    Drawing {
        /// Title of the chart.
        picture: String,
        /// Error of the library.
        reason: String,
    },
    /// The template or the JSON serialization failed.
    #[error("page \"{page}\": cannot render: {reason}")]
    Page {
        /// Title of the page.
        page: String,
        /// Error of the library.
        reason: String,
    },
}
