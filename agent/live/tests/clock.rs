//! Records of a capture during which the wall clock jumps by decades.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_capture::{FileSource, PacketSource};
use lapwing_live::steady::{Reading, Steady};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::meter::{Meter, MeterConfig};
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::units::Timestamp;
use std::path::Path;

const FIFTY_YEARS: i64 = 50 * 365 * 86_400 * 1_000_000_000;

/// Records of the demo capture with a jump of the wall clock in the middle, and the meter's count of clock steps.
fn records(jump: i64) -> (Vec<String>, u64) {
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/captures/demo.pcap");
    let mut source = FileSource::open(&capture).unwrap();
    let mut times = Vec::new();
    while let Some(frame) = source.next_frame().unwrap() {
        times.push(frame.timestamp.as_nanos());
    }
    let (first, middle) = (times[0], times.len() / 2);
    let mut source = FileSource::open(&capture).unwrap();
    let mut steady = Steady::new(Reading { wall: first, monotonic: 0 }, Timestamp::EPOCH);
    let mut meter = Meter::new(&MeterConfig::default());
    let mut lines = Vec::new();
    let mut sink = |record: &FlowRecord, row: &FeatureVector| lines.push(format!("{record:?} {row:?}"));
    for (index, time) in times.iter().enumerate() {
        let wall = |index: usize, time: u64| time.saturating_add_signed(if index < middle { 0 } else { jump });
        if index % 50 == 0 {
            // Blocks of 50 packets. The source reads the clocks at the start of a block, after its last packet arrived.
            let last = (index + 49).min(times.len() - 1);
            steady.update(Reading { wall: wall(last, times[last]), monotonic: times[last] - first });
        }
        let at = steady.of(Timestamp::from_nanos(wall(index, *time)));
        let frame = source.next_frame().unwrap().unwrap();
        meter.frame(frame.link, at, frame.data, frame.wire_octets, &mut sink);
    }
    meter.flush(&mut sink);
    (lines, meter.counters().clock_steps)
}

#[test]
fn a_jump_of_fifty_years_changes_no_record() {
    let (undisturbed, _) = records(0);
    assert!(undisturbed.len() > 100);
    for jump in [FIFTY_YEARS, -FIFTY_YEARS] {
        let (disturbed, steps) = records(jump);
        assert_eq!(steps, 0, "jump {jump}");
        assert!(disturbed == undisturbed, "jump {jump}");
    }
}
