//! One feature of a table: its name and a value per row.

/// The values of a feature.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names of the variants document them")]
pub enum Values {
    /// Numbers; missing ones are NaN.
    Numbers(Vec<f32>),
    Categories {
        /// Distinct values, in order of first appearance; at most 65,536.
        names: Vec<String>,
        /// Index of the value of each row.
        codes: Vec<u16>,
    },
}

impl Values {
    /// The numbers; `None` for categories.
    pub(crate) fn numbers(&self) -> Option<&[f32]> {
        match self {
            Self::Numbers(numbers) => Some(numbers),
            Self::Categories { .. } => None,
        }
    }
}

/// A feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name, trimmed.
    pub name: String,
    /// One value per row.
    pub values: Values,
}
