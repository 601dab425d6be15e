//! The packet path takes its memory when it is made, and none afterwards.
//!
//! A file of its own, since the counting allocator is the whole test program's.

use lapwing_agent::capture::{FileSource, PacketSource};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::meter::{Meter, MeterConfig};
use lapwing_shared::flow::record::FlowRecord;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator is an unsafe trait; this one hands every call to the system's")]
// SAFETY: every call goes to `System` unchanged; counting touches only a thread-local that needs no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

#[test]
fn reading_and_metering_a_capture_allocates_nothing_after_its_first_packet() {
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/captures/demo.pcap");
    let mut source = FileSource::open(&capture).unwrap();
    let mut meter = Meter::new(&MeterConfig::default());
    let (mut packets, mut records, mut before) = (0_u64, 0_u64, 0);
    let mut sink = |_: &FlowRecord, _: &FeatureVector| records += 1;
    while let Some(frame) = source.next_frame().unwrap() {
        meter.frame(frame.link, frame.timestamp, frame.data, frame.wire_octets, &mut sink);
        packets += 1;
        if packets == 1 {
            before = allocations();
        }
    }
    meter.flush(&mut sink);
    let during = allocations() - before;
    assert!(packets > 1000 && records > 100, "{packets} packets, {records} records");
    assert_eq!(during, 0);
    drop(vec![0_u8; 100]);
    assert!(allocations() > before, "the allocator does count");
}
