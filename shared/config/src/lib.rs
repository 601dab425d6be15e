//! TOML configuration files → values, or an error that names the key, what was expected, and the nearest known key.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {path}: {reason}")]
    Read {
        path: PathBuf,
        /// No source of this error: programs print each source after the message.
        reason: std::io::Error,
    },
    /// The file is not TOML, has unknown keys, or a value has the wrong type.
    #[error("configuration {path}: {message}")]
    Parse {
        path: PathBuf,
        /// Line, column, what was expected.
        message: String,
    },
    /// A value is out of range.
    #[error("{key} = {value}: {expected}")]
    Value { key: &'static str, value: String, expected: String },
}

impl ConfigError {
    /// A value out of range; `expected` says what is allowed, like `expected 0 to 19`.
    pub fn value(key: &'static str, value: impl ToString, expected: impl Into<String>) -> Self {
        Self::Value { key, value: value.to_string(), expected: expected.into() }
    }
}

/// Reads and parses a file. Ranges of values are the caller's to check.
///
/// # Errors
/// [`ConfigError::Read`] and [`ConfigError::Parse`].
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|reason| ConfigError::Read { path: path.to_owned(), reason })?;
    toml::from_str(&text).map_err(|error| parse_error(path, &error))
}

fn parse_error(path: &Path, error: &toml::de::Error) -> ConfigError {
    let mut message = error.to_string().trim_end().to_owned();
    if let Some(key) = nearest_key(error.message()) {
        message = format!("{message}\ndid you mean `{key}`?");
    }
    ConfigError::Parse { path: path.to_owned(), message }
}

/// The known key that is most similar to the unknown one, from serde's "unknown field `a`, expected `b` or `c`".
fn nearest_key(message: &str) -> Option<&str> {
    let mut quoted = message.strip_prefix("unknown field")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    nearest(unknown, quoted)
}

/// The candidate that is most similar to a name; `None` without candidates.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates.into_iter().max_by(|a, b| strsim::jaro(name, a).total_cmp(&strsim::jaro(name, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_gets_the_nearest_known_one() {
        let message = "unknown field `idle-timeot`, expected one of `active-timeout`, `idle-timeout`, `max-flows`";
        assert_eq!(nearest_key(message), Some("idle-timeout"));
        assert_eq!(nearest_key("unknown field `x`, there are no fields"), None);
        assert_eq!(nearest_key("invalid type: integer `5`, expected a string"), None);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read::<toml::Table>(Path::new("/nowhere/agent.toml")).unwrap_err();
        assert!(std::error::Error::source(&error).is_none(), "it would be printed a second time");
        let error = error.to_string();
        assert!(error.starts_with("cannot read configuration /nowhere/agent.toml: No such file"), "{error}");
    }
}
