//! Batches between the two threads.

use super::*;
use lapwing_shared::features::meter::MeterConfig;
use lapwing_shared::packet::LinkType;

/// A meter that has refused this number of packets.
fn meter_after(packets: u64) -> Meter {
    let mut meter = Meter::new(&MeterConfig::default());
    let link = LinkType::Ethernet;
    (0..packets).for_each(|_| meter.frame(link, Timestamp::EPOCH, &[], 0, &mut |_: &FlowRecord, _: &FeatureVector| {}));
    meter
}

#[test]
fn a_batch_taken_early_keeps_the_packet_threads_counters() {
    let current = Arc::new(Mutex::new(Batch::boxed()));
    let (full, full_batches) = sync_channel(WAITING_BATCHES);
    let (recycle, empty) = sync_channel(WAITING_BATCHES);
    recycle.send(Batch::boxed()).unwrap();
    let mut feeder = Feeder::new(&current, full, empty, WhenBehind::Wait);

    feeder.report(&meter_after(7));
    feeder.unlock();
    let taken = take_early(&current, &full_batches, &mut Some(Batch::boxed())).unwrap();
    assert_eq!((taken.progress.refusals.total(), taken.marks.len()), (7, 1), "in the batch taken early");
    assert_eq!(lock(&current).progress.refusals.total(), 7, "in the batch that replaces it");
    assert!(lock(&current).is_empty());

    feeder.report(&meter_after(9));
    feeder.hand_over();
    assert_eq!(full_batches.recv().unwrap().progress.refusals.total(), 9);
    assert_eq!(lock(&current).progress.refusals.total(), 9, "after a full batch");
}

/// A meter with this number of flows.
fn meter_with(flows: u16) -> Meter {
    let mut meter = Meter::new(&MeterConfig::default());
    let mut ignore = |_: &FlowRecord, _: &FeatureVector| ();
    for port in 0..flows {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0];
        frame.extend([192, 168, 1, 9, 203, 0, 113, 7]);
        frame.extend(port.to_be_bytes());
        frame.extend([0x13, 0x89, 0, 8, 0, 0]);
        meter.frame(LinkType::Ethernet, Timestamp::from_nanos(1), &frame, 42, &mut ignore);
    }
    meter
}

#[test]
fn all_flows_that_a_live_run_ends_with_are_scored() {
    const FLOWS: u16 = 1000;
    let (full, full_batches) = sync_channel(WAITING_BATCHES);
    let (recycle, empty) = sync_channel(WAITING_BATCHES);
    recycle.send(Batch::boxed()).unwrap();
    let current = Arc::new(Mutex::new(Batch::boxed()));
    let mut feeder = Feeder::new(&current, full, empty, WhenBehind::LeaveOut);
    let stage = std::thread::spawn(move || {
        full_batches.iter().fold(0, |rows, mut batch| {
            // Takes longer than the feeder needs for a batch.
            (0..1_000_000).for_each(|step| {
                std::hint::black_box(step);
            });
            let rows = rows + batch.rows.len();
            batch.clear();
            // The feeder may have ended.
            let _ = recycle.send(batch);
            rows
        })
    });
    feeder.finish(&mut meter_with(FLOWS));
    let left_out = feeder.left_out;
    drop(feeder);
    assert_eq!((stage.join().unwrap(), left_out), (usize::from(FLOWS), 0));
}
