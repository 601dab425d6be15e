//! Segments on the S3-compatible storage at `LAPWING_S3`, which `tests/run s3` starts.

use super::*;
use crate::description::Segment;
use crate::filter::Filter;
use crate::reader::{SegmentReader, verify};
use crate::testing::{TestFolder, row};
use crate::writer::write_segment;

fn now_s() -> u64 {
    lapwing_common::clock::now_s()
}

fn credentials() -> Credentials {
    Credentials { key: "test".into(), secret: "test".into(), token: None, region: "us-east-1".into() }
}

/// A prefix of its own in a new bucket; `None` without a server.
fn bucket(name: &str) -> Option<Bucket> {
    let Ok(endpoint) = std::env::var("LAPWING_S3") else {
        lapwing_skips::skip("no object storage; LAPWING_S3 is not set");
        return None;
    };
    let bucket = Bucket::new(&format!("s3://{name}/fleet/rows"), &endpoint, credentials(), now_s).unwrap();
    bucket.request("PUT", &bucket.bucket, "", b"").unwrap();
    Some(bucket)
}

fn write(bucket: &Bucket, at_s: u64) -> Segment {
    let mut rows: Vec<_> = (0..100).map(|number| row("gw-1", number, at_s + number)).collect();
    write_segment(bucket, "home", &mut rows, 5).unwrap().unwrap()
}

#[test]
fn a_segment_is_stored_read_copied_and_removed() {
    let Some(bucket) = bucket("stored") else { return };
    let segment = write(&bucket, 1_000);
    verify(&bucket, &segment).unwrap();
    let filter = Filter::default();
    let rows: Vec<_> = SegmentReader::open(&bucket, &segment, &filter).unwrap().map(Result::unwrap).collect();
    assert_eq!((rows.len(), rows[0].at.as_secs()), (100, 1_000));
    let folder = TestFolder::new();
    bucket.copy_to(&segment.file, folder.path()).unwrap();
    assert_eq!(fs::metadata(folder.path().join(&segment.file)).unwrap().len(), segment.bytes);
    bucket.remove(&segment.file).unwrap();
    let error = bucket.open(&segment.file).unwrap_err();
    assert!(matches!(&error, SegmentError::Read { source, .. } if source.kind() == ErrorKind::NotFound), "{error}");
    assert!(error.to_string().contains("s3://stored/fleet/rows/segment-"), "{error}");
}

#[test]
fn unknown_objects_that_are_segments_are_removed() {
    let Some(bucket) = bucket("unknown") else { return };
    let segments = [1, 2, 3].map(|day| write(&bucket, day * 86_400));
    bucket.store("notes.txt", b"x").unwrap();
    assert_eq!(bucket.remove_unknown(&BTreeSet::from([segments[1].file.clone()])).unwrap(), 2);
    let mut names = bucket.names().unwrap();
    names.sort();
    assert_eq!(names, ["notes.txt".to_owned(), segments[1].file.clone()]);
}

#[test]
fn a_prefix_belongs_to_one_store() {
    let Some(bucket) = bucket("owned") else { return };
    assert!(bucket.claim(7, false).unwrap_err().to_string().contains("has no segments of this store"));
    bucket.claim(7, true).unwrap();
    bucket.claim(7, false).unwrap();
    assert!(bucket.claim(8, true).unwrap_err().to_string().contains("of another store"));
}

#[test]
fn a_missing_bucket_and_a_server_that_does_not_answer_are_clear_errors() {
    if let Some(bucket) = bucket("present") {
        let endpoint = format!("{}{}", bucket.scheme, bucket.host);
        let missing = Bucket::new("s3://missing", &endpoint, credentials(), now_s).unwrap();
        let name = "segment-0000000001-0123456789abcdef.parquet";
        let error = missing.put(name, b"x").unwrap_err().to_string();
        assert!(error.contains("NoSuchBucket") && error.contains("s3://missing/segment-"), "{error}");
    }
    // Nothing listens on port 1.
    let closed = Bucket::new("s3://rows", "http://127.0.0.1:1", credentials(), now_s).unwrap();
    let error = closed.claim(7, true).unwrap_err().to_string();
    assert!(error.contains("s3://rows/segments.store"), "{error}");
}

#[test]
fn addresses_and_endpoints_are_checked() {
    for address in ["s3://", "s3:///rows", "rows", "s3://a b", "s3://rows/%2e"] {
        let error = Bucket::new(address, "http://127.0.0.1", credentials(), now_s).err().unwrap().to_string();
        assert!(error.contains("is not s3://BUCKET/PREFIX"), "{error}");
    }
    for endpoint in ["127.0.0.1:9000", "ftp://host", "http://", "http://host/path"] {
        let error = Bucket::new("s3://rows", endpoint, credentials(), now_s).err().unwrap().to_string();
        assert!(error.contains("expected http(s)://HOST:PORT"), "{error}");
    }
    assert_eq!(encoded("a/b+c="), "a%2Fb%2Bc%3D");
}
