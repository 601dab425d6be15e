//! One value of a row, as either database stores it.

/// Bytes of a value, at most; no column of a store is near it.
pub(crate) const VALUE_BYTES: usize = 1 << 20;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    /// A whole number, or a truth value as 0 or 1.
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    /// A text. PostgreSQL's texts cannot contain the character 0, which only a forged message contains.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.replace('\0', "\u{fffd}"))
    }

    /// Size in memory, bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Null | Self::Integer(_) | Self::Real(_) => 0,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// For messages: the key of a row.
pub(crate) fn key_text(key: &[Cell]) -> String {
    let part = |cell: &Cell| match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text.chars().take(80).flat_map(char::escape_debug).collect(),
        Cell::Bytes(bytes) => format!("{} bytes", bytes.len()),
    };
    key.iter().map(part).collect::<Vec<_>>().join(", ")
}
