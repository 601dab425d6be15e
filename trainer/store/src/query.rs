//! A statement with its values, in the form that both databases take.

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Integer(i64),
    Text(String),
}

/// A statement whose parameters are `?1`, `?2`, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

impl Query {
    /// A statement without parameters.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new() }
    }

    /// Appends text.
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends text that ends with a value.
    pub(crate) fn push_value(&mut self, text: &str, value: Value) {
        self.values.push(value);
        self.text += &format!("{text} ?{}", self.values.len());
    }
}

/// How the databases differ in the statements that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
}

impl Dialect {
    /// The table, with the index to use. SQLite has no statistics by which it would choose that index.
    pub(crate) fn table(self, table: &str, index: &str) -> String {
        match self {
            Self::Sqlite => format!("{table} INDEXED BY {index}"),
            #[cfg(feature = "postgres")]
            Self::Postgres => table.to_owned(),
        }
    }
}
