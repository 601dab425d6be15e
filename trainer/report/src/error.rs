//! Why there is no picture or page.

/// What went wrong while a result was put into a form for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Nothing finite to draw.
    #[error("picture \"{picture}\": no finite values to draw, expected at least {expected}")]
    Empty {
        /// Title of the picture.
        picture: String,
        /// What it needs.
        expected: &'static str,
    },
    /// Parts of the input do not fit together.
    #[error("picture \"{picture}\": {found} {what}, expected {expected}")]
    Shape {
        /// Title of the picture.
        picture: String,
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// The drawing library failed.
    #[error("picture \"{picture}\": cannot draw: {reason}")]
    Drawing {
        /// Title of the picture.
        picture: String,
        /// What it said.
        reason: String,
    },
    /// The template failed.
    #[error("page \"{page}\": cannot fill the template: {reason}")]
    Page {
        /// Title of the page.
        page: String,
        /// What it said.
        reason: String,
    },
}
