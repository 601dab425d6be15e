use super::*;
use lapwing_shared::features::meter::MeterConfig;
use lapwing_shared::packet::LinkType;

/// A meter that has refused so many packets.
fn after(packets: u64) -> Meter {
    let mut meter = Meter::new(&MeterConfig::default());
    let link = LinkType::Ethernet;
    (0..packets).for_each(|_| meter.frame(link, Timestamp::EPOCH, &[], 0, &mut |_: &FlowRecord, _: &FeatureVector| {}));
    meter
}

#[test]
fn a_batch_taken_away_leaves_behind_where_the_packet_thread_stands() {
    let current = Arc::new(Mutex::new(Batch::new()));
    let (full, full_batches) = sync_channel(WAITING_BATCHES);
    let (recycle, empty) = sync_channel(WAITING_BATCHES);
    recycle.send(Batch::new()).unwrap();
    let mut feeder = Feeder::new(&current, full, empty, WhenBehind::Wait);

    feeder.report(&after(7));
    feeder.let_go();
    let taken = take_early(&current, &full_batches, &mut Batch::new()).unwrap();
    assert_eq!((taken.progress.refusals.total(), taken.marks.len()), (7, 1), "what the scoring stage takes early");
    assert_eq!(lock(&current).progress.refusals.total(), 7, "what it is told while no packet comes");
    assert!(lock(&current).is_empty());

    feeder.report(&after(9));
    feeder.hand_over();
    assert_eq!(full_batches.recv().unwrap().progress.refusals.total(), 9);
    assert_eq!(lock(&current).progress.refusals.total(), 9, "after a full batch");
}
