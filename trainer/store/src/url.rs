//! Where a store is: a path or a database's address.

use crate::error::StoreError;
use serde::{Deserialize, Deserializer};
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Prefixes of PostgreSQL's addresses.
const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];

/// Where a store is.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// An SQLite file: `sqlite:PATH`, or a path alone.
    Sqlite(PathBuf),
    /// A PostgreSQL database: `postgres://…`. May contain a password, which is never shown.
    Postgres(String),
}

impl StoreUrl {
    /// The file of a store that is a file.
    ///
    /// # Errors
    /// [`StoreError::NotAFile`] for a database.
    pub fn file(&self) -> Result<&Path, StoreError> {
        match self {
            Self::Sqlite(path) => Ok(path),
            Self::Postgres(_) => Err(StoreError::NotAFile {
                store: self.to_string(),
                what: "copy or restore",
                instead: "pg_dump and pg_restore",
            }),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        if POSTGRES.iter().any(|prefix| text.starts_with(prefix)) {
            return Ok(Self::Postgres(text.to_owned()));
        }
        Ok(Self::Sqlite(text.strip_prefix("sqlite:").unwrap_or(text).into()))
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| {
            let Ok(url) = text.parse();
            url
        })
    }
}

impl From<&Path> for StoreUrl {
    fn from(path: &Path) -> Self {
        // A path that is not Unicode has no prefix.
        let Some(text) = path.to_str() else { return Self::Sqlite(path.to_owned()) };
        let Ok(url) = text.parse();
        url
    }
}

impl From<&PathBuf> for StoreUrl {
    fn from(path: &PathBuf) -> Self {
        path.as_path().into()
    }
}

impl From<PathBuf> for StoreUrl {
    fn from(path: PathBuf) -> Self {
        path.as_path().into()
    }
}

impl From<&Self> for StoreUrl {
    fn from(url: &Self) -> Self {
        url.clone()
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            // Without user and password, which end at the last @.
            Self::Postgres(url) => {
                let rest = POSTGRES.iter().find_map(|prefix| url.strip_prefix(prefix)).unwrap_or_default();
                // Parameters may have a password, too.
                let before = rest.split('?').next().unwrap_or_default();
                match before.rsplit_once('@') {
                    Some((_, shown)) => write!(f, "postgres://{shown}"),
                    None if rest.contains('@') => f.write_str("postgres://…"),
                    None => write!(f, "postgres://{before}"),
                }
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> StoreUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_store_is_a_path_or_an_address() {
        for text in ["/var/lib/store.sqlite", "sqlite:/var/lib/store.sqlite"] {
            assert_eq!(parse(text), StoreUrl::Sqlite("/var/lib/store.sqlite".into()), "{text}");
        }
        for text in ["postgres://hub/lapwing", "postgresql://hub/lapwing"] {
            assert_eq!(parse(text), StoreUrl::Postgres(text.into()));
            assert_eq!(StoreUrl::from(Path::new(text)), StoreUrl::Postgres(text.into()), "as an option's path");
        }
    }

    #[test]
    fn a_database_is_not_a_file_and_errors_do_not_show_its_password() {
        for rest in
            ["lapwing:s3cr@s3cr/@hub/fleet?password=s3cret", "lapwing:s3cr?s3cr@hub/fleet", "hub?password=s3cr@s3cr"]
        {
            let error = parse(&format!("postgres://{rest}")).file().unwrap_err().to_string();
            assert!(!error.contains("s3cr"), "{error}");
        }
        let url = parse("postgres://lapwing:s3cret@hub:5433/fleet?password=s3cret");
        let error = url.file().unwrap_err().to_string();
        assert_eq!(
            error,
            "the store postgres://hub:5433/fleet is a database: Lapwing does not copy or restore it; use pg_dump and \
             pg_restore"
        );
        assert!(!format!("{url:?}").contains("s3cret"));
    }
}
