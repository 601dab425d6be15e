//! Descriptions of segments ↔ `segments.json` beside them.
//!
//! A segment that no description names does not exist for readers: it was being written when the program stopped.

use crate::description::Segment;
use crate::error::SegmentError;
use crate::place::{Folder, INDEX as NAME};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{ErrorKind, Read};

/// Size of an index, at most: 16 MiB, about 40,000 segments.
pub const INDEX_BYTES: u64 = 16 * 1024 * 1024;

/// The segments of a folder, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The segments.
    pub segments: Vec<Segment>,
}

impl Index {
    /// Reads the index of a folder; `None` if it has none.
    ///
    /// # Errors
    /// When it cannot be read, exceeds [`INDEX_BYTES`], or is not an index.
    pub fn load(folder: &Folder) -> Result<Option<Self>, SegmentError> {
        let path = folder.path(NAME);
        let file = || path.display().to_string();
        let opened = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened,
        };
        let mut text = Vec::new();
        let read = opened.and_then(|opened| opened.take(INDEX_BYTES + 1).read_to_end(&mut text));
        read.map_err(|source| SegmentError::Read { file: file(), source })?;
        if text.len() as u64 > INDEX_BYTES {
            let found = text.len() as u64;
            return Err(SegmentError::TooLarge { file: file(), found, limit: INDEX_BYTES, unit: "bytes" });
        }
        let broken = |error: serde_json::Error| SegmentError::Foreign {
            file: file(),
            what: error.to_string(),
            expected: "an index that this program wrote".into(),
        };
        serde_json::from_slice(&text).map(Some).map_err(broken)
    }

    /// Writes the index; when this returns, it is durable.
    ///
    /// # Errors
    /// When it cannot be written; then the earlier index stays.
    pub fn save(&self, folder: &Folder) -> Result<(), SegmentError> {
        let mut text =
            serde_json::to_vec_pretty(self).map_err(|error| SegmentError::Encode { reason: error.to_string() })?;
        text.push(b'\n');
        folder.write(NAME, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestFolder, segment};

    #[test]
    fn an_index_is_read_back_and_a_foreign_one_rejected() {
        let test = TestFolder::new();
        let folder = Folder::create(test.path()).unwrap();
        assert_eq!(Index::load(&folder).unwrap(), None);
        let index = Index { segments: vec![segment("segment-0000000001-abababababababab.parquet")] };
        index.save(&folder).unwrap();
        assert_eq!(Index::load(&folder).unwrap(), Some(index));
        let path = test.path().join(NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to, expected) in [
            ("\"rows\"", "\"lines\"", "unknown field"),
            ("abab", "ABAB", ""),
            ("\"first-ns\": 1", "\"first-ns\": -1", "-1"),
        ] {
            std::fs::write(&path, text.replace(from, to)).unwrap();
            match Index::load(&folder) {
                Ok(_) => assert!(expected.is_empty(), "{from} was accepted"),
                Err(error) => {
                    assert!(error.to_string().contains(expected) && error.to_string().contains(NAME), "{error}")
                }
            }
        }
        let file = File::create(&path).unwrap();
        file.set_len(INDEX_BYTES + 1).unwrap();
        assert!(matches!(Index::load(&folder), Err(SegmentError::TooLarge { .. })));
    }
}
