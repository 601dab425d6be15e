//! The packet path allocates its memory at start and none afterwards.
//!
//! A test program of its own, since the counting allocator is global.

use lapwing_agent::capture::{FileSource, PacketSource};
use lapwing_agent::shed::Shed;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::meter::{Meter, MeterConfig};
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::packet::Packet;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; this one forwards every call to the system's")]
// SAFETY: every call goes to `System` unchanged; counting uses a thread-local that needs no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

#[test]
fn metering_allocates_nothing_after_the_first_packet() {
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/captures/demo.pcap");
    let mut source = FileSource::open(&capture).unwrap();
    let mut meter = Meter::new(&MeterConfig::default());
    let (shed, mut controller) = Shed::new(1);
    let keeps = |packet: &Packet| shed.keeps(packet);
    let (mut packets, mut records, mut before) = (0_u64, 0_u64, 0);
    let mut sink = |_: &FlowRecord, _: &FeatureVector| records += 1;
    while let Some(frame) = source.next_frame().unwrap() {
        meter.frame_if(frame.link, frame.timestamp, frame.data, frame.wire_octets, Some(&keeps), &mut sink);
        packets += 1;
        if packets == 1000 {
            assert_eq!(controller.update(1000, 1, 0, 0), Some(500), "dropped packets halve the share");
        }
        if packets == 1 {
            before = allocations();
        }
    }
    meter.flush(&mut sink);
    let during = allocations() - before;
    assert!(packets > 1000 && records > 100, "{packets} packets, {records} records");
    assert_eq!(during, 0);
    assert!(
        controller.shed() > 0 && controller.shed() + meter.counters().packets + meter.refusals().total() == packets
    );
    drop(vec![0_u8; 100]);
    assert!(allocations() > before, "the allocator does not count");
}
