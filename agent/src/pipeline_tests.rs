use super::*;

fn at(packets: u64) -> Progress {
    Progress { flows: FlowCounters { packets, ..FlowCounters::default() }, ..Progress::default() }
}

#[test]
fn a_batch_taken_away_leaves_behind_where_the_packet_thread_stands() {
    let current = Arc::new(Mutex::new(Batch::new()));
    let (full, full_batches) = sync_channel(WAITING_BATCHES);
    let (recycle, empty) = sync_channel(WAITING_BATCHES);
    recycle.send(Batch::new()).unwrap();
    let mut feeder = Feeder::new(Arc::clone(&current), full, empty, WhenBehind::Wait);

    feeder.report(at(7));
    let taken = take_early(&current, &full_batches, &mut Batch::new()).unwrap();
    assert_eq!((taken.progress.flows.packets, taken.marks.len()), (7, 1), "what the scoring stage takes early");
    assert_eq!(lock(&current).progress.flows.packets, 7, "what it is told while no packet comes");
    assert!(lock(&current).is_empty());

    feeder.report(at(9));
    feeder.hand_over();
    assert_eq!(full_batches.recv().unwrap().progress.flows.packets, 9);
    assert_eq!(lock(&current).progress.flows.packets, 9, "after a full batch");
}
