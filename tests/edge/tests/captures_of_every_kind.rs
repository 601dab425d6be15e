//! Every public capture → frames → packets or refusals: no panic, no hang, and the packet count that the index states.

use lapwing_agent::capture::{CaptureError, FileSource, PacketSource, Problem};
use lapwing_shared::packet::{RefusalCounts, decode};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A capture with more frames than this counts as endless.
const MOST_FRAMES: u64 = 3_000_000;

/// The result of replaying one capture.
#[derive(Default)]
struct Outcome {
    decoded: u64,
    refused: RefusalCounts,
    truncated: bool,
    error: Option<CaptureError>,
}

impl Outcome {
    fn total(&self) -> u64 {
        self.decoded + self.refused.total()
    }
}

fn replay(path: &Path) -> Outcome {
    let mut outcome = Outcome::default();
    let mut source = match FileSource::open(path) {
        Ok(source) => source,
        Err(error) => return Outcome { error: Some(error), ..outcome },
    };
    for frames in 0.. {
        assert!(frames < MOST_FRAMES, "{} does not end", path.display());
        match source.next_frame() {
            Ok(Some(frame)) => match decode(frame.link, frame.timestamp, frame.data, frame.wire_octets) {
                Ok(_) => outcome.decoded += 1,
                Err(reason) => outcome.refused.count(reason),
            },
            Ok(None) => break,
            Err(error) => {
                outcome.error = Some(error);
                break;
            }
        }
    }
    outcome.refused.merge(source.refusals());
    outcome.truncated = source.truncation().is_some();
    outcome
}

/// Every file of the index, with its packet count if the index states one.
fn indexed_files(index: &Path) -> BTreeMap<PathBuf, Option<u64>> {
    let row = |line: &str| {
        let columns: Vec<_> = line.split('\t').collect();
        let packets = columns.get(4).and_then(|column| column.split_once(" pkts")?.0.parse().ok());
        Some((index.with_file_name(columns.get(1)?), packets))
    };
    std::fs::read_to_string(index).expect("the index can be read").lines().skip(1).filter_map(row).collect()
}

#[test]
fn every_packet_of_every_public_capture_is_decoded_or_refused() {
    let Some(index) = lapwing_skips::public_data("INDEX.tsv") else { return };
    let files = indexed_files(&index);
    let (mut captures, mut packets, mut other_links, mut refused) = (0, 0, 0, RefusalCounts::default());
    let mut different = Vec::new();
    for (path, stated) in &files {
        let outcome = replay(path);
        refused.merge(&outcome.refused);
        packets += outcome.total();
        let Some(stated) = stated else { continue };
        captures += 1;
        match outcome.error {
            Some(CaptureError { problem: Problem::UnknownLinkType(_), .. }) => other_links += 1,
            None if outcome.total() == *stated && !outcome.truncated => {}
            ref error => {
                let cut = if outcome.truncated { ", truncated" } else { "" };
                different.push(format!("{}: {} of {stated}{cut} {error:?}", path.display(), outcome.total()));
            }
        }
    }
    println!("{captures} captures, {other_links} of them with other link types, {packets} packets");
    refused.iter().filter(|(_, count)| *count > 0).for_each(|(reason, count)| println!("{count} {reason}"));
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(captures > 1_000 && packets > 400_000, "the index was not parsed");
}
