//! Brokers that are silent, with a simulated clock.

use super::*;
use crate::disk::power::PowerDisk;
use crate::outbox::{Delivery, Limits, Outbox};
use crate::output::alerts::test_alert;
use crate::publish::FromPipeline;
use crate::update::halver::Halvers;
use crate::update::store::Store;
use lapwing_shared::release::testing::terms;
use lapwing_shared::units::Timestamp;

type Test = Session<PowerDisk, Halvers>;

fn accepted(keep_alive_s: Option<u16>) -> (Conversation, Test, mpsc::Receiver<Vec<u8>>) {
    let (store, _) = Store::open(PowerDisk::default(), terms());
    let outbox = Outbox::new(1, Limits::default(), None);
    let mut session = Session::start("gw-1".try_into().unwrap(), Delivery::Broker, Halvers, store, outbox);
    let (to_socket, packets) = mpsc::channel(64);
    let mut conversation = Conversation::new(to_socket, SharedReport::default(), 0);
    let ack = ConnAck { goodbye: Default::default(), limits: BrokerLimits::default(), keep_alive_s };
    conversation.receive(Incoming::ConnAck(ack), &mut session, 0).unwrap();
    (conversation, session, packets)
}

#[test]
fn a_silent_broker_is_pinged_and_then_given_a_new_connection() {
    for (required, pings) in [(None, 22), (Some(10), 7), (Some(0), 22), (Some(u16::MAX), 22)] {
        let (mut conversation, session, mut packets) = accepted(required);
        let first_ping = (0..).find(|second| {
            conversation.tick(&session, second * 1000).unwrap();
            packets.try_recv().is_ok_and(|packet| packet == [0xc0, 0])
        });
        assert!((pings..=pings + 1).contains(&first_ping.unwrap()), "{required:?}: ping after {first_ping:?} s");
        let end = (0..).find(|second| conversation.tick(&session, second * 1000).is_err()).unwrap();
        assert!((20..=60).contains(&end), "{required:?}: ended after {end} s");
    }
}

#[test]
fn a_broker_that_answers_pings_but_no_request_is_left() {
    let (mut conversation, mut session, mut packets) = accepted(None);
    conversation.request(&mut session, 0);
    let ended = (1..).find_map(|second| {
        while packets.try_recv().is_ok() {}
        conversation.receive(Incoming::PingResp, &mut session, second * 1000).unwrap();
        conversation.tick(&session, second * 1000).err()
    });
    assert!(matches!(ended, Some(Ended::Unanswered(ANSWER_MS))), "{ended:?}");
}

#[test]
fn actions_wait_for_room_in_the_queue_to_the_socket() {
    let (to_socket, mut packets) = mpsc::channel(1);
    let (mut conversation, mut session, _) = accepted(None);
    conversation.to_socket = to_socket;
    let mut received = 0;
    while session.waiting_actions() > 0 || conversation.pending.is_some() {
        conversation.request(&mut session, 0);
        assert!(packets.try_recv().is_ok());
        received += 1;
    }
    assert_eq!(received, 4, "two subscriptions and two forms of the status");
}

#[test]
fn a_refused_alert_waits_and_a_confirmed_one_leaves_also_if_no_client_reads_it() {
    for (reason, waiting) in [(0x00, 0), (0x10, 0), (0x80, 1), (0x87, 1), (0x97, 1), (0xff, 1)] {
        let (mut conversation, mut session, _packets) = accepted(None);
        let alert = test_alert(Timestamp::from_secs(1_790_000_000), 1);
        session.handle_pipeline(FromPipeline::Alert(alert), 0, None);
        conversation.request(&mut session, 0);
        // Two subscriptions, two forms of the status, then the alert: its JSON form has no identifier.
        let ack = Incoming::PubAck { identifier: 5, reason };
        conversation.receive(ack, &mut session, 1).unwrap();
        assert_eq!(session.outbox().counts().waiting, waiting, "reason {reason:#x}");
        let again = Incoming::PubAck { identifier: 5, reason };
        assert!(matches!(conversation.receive(again, &mut session, 1), Err(Ended::Protocol(_))));
    }
}
