//! Damaged, foreign, newer and truncated files: a clear error, never a panic.

use crate::columns::{FORMAT_KEY, SCHEMA_KEY};
use crate::description::Segment;
use crate::error::SegmentError;
use crate::filter::Filter;
use crate::place::Folder;
use crate::reader::{FILE_BYTES, SegmentReader};
use crate::row::Row;
use crate::testing::{TestFolder, row};
use crate::writer::{Limits, SegmentWriter};
use std::sync::LazyLock;

static FILTER: LazyLock<Filter> = LazyLock::new(Filter::default);

struct Written {
    _test: TestFolder,
    folder: Folder,
    segment: Segment,
    bytes: Vec<u8>,
}

fn written() -> Written {
    let test = TestFolder::new();
    let folder = Folder::create(test.path()).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let random_row = |number: u64| Row {
        score: number.is_multiple_of(2).then_some(7),
        features: std::array::from_fn(|_| random.f32()),
        ..row(["attic", "barn"][number as usize % 2], number, 1_700_000_000 + number)
    };
    let rows: Vec<Row> = (0..200).map(random_row).collect();
    let mut writer = SegmentWriter::new(&folder, "home", Limits::default());
    writer.push(&rows, 0).unwrap();
    let segment = writer.close(0).unwrap().unwrap();
    let bytes = std::fs::read(test.path().join(&segment.file)).unwrap();
    Written { _test: test, folder, segment, bytes }
}

impl Written {
    /// Reads the bytes as if they were the segment, with and without its digest.
    fn read(&self, bytes: &[u8]) -> (Result<usize, SegmentError>, Result<usize, SegmentError>) {
        std::fs::write(self.folder.path(&self.segment.file), bytes).unwrap();
        let count = |reader: Result<SegmentReader<'_>, SegmentError>| Ok(reader?.collect::<Result<Vec<_>, _>>()?.len());
        let described = count(SegmentReader::open(&self.folder, &self.segment, &FILTER));
        (described, count(SegmentReader::open_undescribed(&self.folder, &self.segment.file, &FILTER)))
    }

    /// Replaces the first occurrence.
    fn replaced(&self, from: &str, to: &str) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let at = self.bytes.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        let mut bytes = self.bytes.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    }
}

#[test]
fn a_truncated_segment_is_an_error_that_names_the_file() {
    let written = written();
    assert!(written.bytes.len() > 20_000, "{}", written.bytes.len());
    for length in (0..written.bytes.len()).step_by(1_000).chain([written.bytes.len() - 1]) {
        let (described, undescribed) = written.read(&written.bytes[..length]);
        assert!(matches!(described, Err(SegmentError::Digest { .. })), "{length}: {described:?}");
        let error = undescribed.unwrap_err().to_string();
        assert!(error.contains(&written.segment.file) && error.contains("expected"), "{length}: {error}");
    }
}

#[test]
fn flipped_bits_never_panic_and_never_pass_the_digest() {
    let written = written();
    let mut random = fastrand::Rng::with_seed(9);
    let (mut rejected, footer) = (0, written.bytes.len() - 6_000);
    for round in 0..500 {
        let mut bytes = written.bytes.clone();
        // Half of them in the footer, whose parts are counts, offsets and types.
        let at = if round % 2 == 0 { random.usize(..bytes.len()) } else { random.usize(footer..bytes.len()) };
        bytes[at] ^= 1 << random.u8(..8);
        let (described, undescribed) = written.read(&bytes);
        assert!(matches!(described, Err(SegmentError::Digest { .. })), "byte {at}: {described:?}");
        rejected += u32::from(undescribed.is_err());
    }
    assert!(rejected > 125, "{rejected}");
}

#[test]
fn foreign_newer_and_other_files_have_errors_of_their_own() {
    let written = written();
    let text = |bytes: &[u8]| written.read(bytes).1.unwrap_err().to_string();
    assert!(text(b"not parquet at all").contains("is not a segment of Lapwing"));
    assert!(text(&written.replaced(FORMAT_KEY, "wapling.format")).contains("has no lapwing.format"));
    let schema = lapwing_shared::release::digest::Hex(&written.segment.schema).to_string();
    let other = text(&written.replaced(&schema, &"0".repeat(64)));
    assert!(other.contains("feature schema 0000") && other.contains(&schema), "{other}");
    assert!(text(&written.replaced(SCHEMA_KEY, "wapling.schema")).contains("has no lapwing.schema"));
    let columns = text(&written.replaced("duration_ms", "duration_us"));
    assert!(columns.contains("duration_us") && columns.contains("expected"), "{columns}");
    // The value follows its key and one byte of Thrift and one of length.
    let mut newer = written.bytes.clone();
    let key = newer.windows(FORMAT_KEY.len()).rposition(|bytes| bytes == FORMAT_KEY.as_bytes()).unwrap();
    let value = key + FORMAT_KEY.len() + 2;
    assert_eq!(newer[value], b'1');
    newer[value] = b'2';
    assert!(text(&newer).contains("has segment format 2, this program reads formats up to 1"), "{}", text(&newer));
    newer[value] = b'x';
    assert!(text(&newer).contains("lapwing.format is `x`"));
    assert_eq!(written.read(&written.bytes).1.unwrap(), 200);
}

#[test]
fn a_file_above_the_size_limit_is_not_read() {
    let written = written();
    let path = written.folder.path(&written.segment.file);
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(FILE_BYTES + 1).unwrap();
    let opened = SegmentReader::open(&written.folder, &written.segment, &FILTER);
    assert!(matches!(opened.err(), Some(SegmentError::TooLarge { .. })));
}
