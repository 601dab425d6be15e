//! Every public capture beside the workspace, whole → frames → packets or refusals: no panic, no hang, and as many
//! packets as an independent count found.

use lapwing_agent::capture::{CaptureError, FileSource, PacketSource, Problem};
use lapwing_shared::packet::{RefusalCounts, decode};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most frames of one capture that are replayed.
const MOST_FRAMES: u64 = 3_000_000;

/// What the replay of one capture gave.
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

/// Every file of the index, with the packets that it states where it states any.
fn indexed_files(data: &Path) -> Option<BTreeMap<PathBuf, Option<u64>>> {
    let index = std::fs::read_to_string(data.join("INDEX.tsv")).ok()?;
    let row = |line: &str| {
        let columns: Vec<_> = line.split('\t').collect();
        let packets = columns.get(4).and_then(|column| column.split_once(" pkts")?.0.parse().ok());
        Some((data.join(columns.get(1)?), packets))
    };
    Some(index.lines().skip(1).filter_map(row).collect())
}

#[test]
fn every_public_capture_replays_and_every_packet_is_decoded_or_refused() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("LAPWING_PUBLIC_DATA").map_or(beside, PathBuf::from);
    let Some(files) = indexed_files(&data) else {
        println!("SKIPPED: no public captures at {}", data.display());
        return;
    };
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
    assert!(captures > 1_000 && packets > 400_000, "the index was not understood");
}
