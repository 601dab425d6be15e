//! Bytes of packets, whole, in pieces, and malformed.

use super::decode::{BrokerLimits, Goodbye, Incoming, ProtocolError, next};
use super::encode::{Connect, Will, connect, disconnect, pingreq, puback, publish, publish_overhead, subscribe};

const LIMIT: usize = 62_464;

fn read(bytes: &[u8]) -> Result<Incoming, ProtocolError> {
    next(bytes, LIMIT).map(|found| {
        let (packet, length) = found.expect("a whole packet");
        assert_eq!(length, bytes.len());
        packet
    })
}

#[test]
fn requests_have_the_bytes_of_the_standard() {
    let will = Will { topic: "s".into(), payload: vec![7], acknowledged: true, retain: true };
    let login = Some(("me".to_owned(), "pw".to_owned()));
    let all = Connect { client_id: "gw".into(), keep_alive_s: 30, packet_bytes: 62_464, login, will: Some(will) };
    let expected = [
        &[0x10, 35, 0, 4, b'M', b'Q', b'T', b'T', 5, 0xee, 0, 30, 5, 39, 0, 0, 0xf4, 0, 0, 2, b'g', b'w'][..],
        &[0, 0, 1, b's', 0, 1, 7, 0, 2, b'm', b'e', 0, 2, b'p', b'w'],
    ];
    assert_eq!(connect(&all), expected.concat());
    let plain = Connect { login: None, will: None, ..all };
    assert_eq!(connect(&plain)[9], 0x02);
    assert_eq!(publish("t", b"x", true, Some(0x0102)), [0x33, 7, 0, 1, b't', 1, 2, 0, b'x']);
    assert_eq!(publish("t", b"", false, None), [0x30, 4, 0, 1, b't', 0]);
    assert_eq!(subscribe("t", 5), [0x82, 7, 0, 5, 0, 0, 1, b't', 1]);
    assert_eq!((puback(258), pingreq(), disconnect(0x82)), (vec![0x40, 2, 1, 2], vec![0xc0, 0], vec![0xe0, 1, 0x82]));
}

#[test]
fn the_overhead_of_a_publication_is_not_understated() {
    for length in [0, 100, 20_000, 61_440] {
        let bytes = publish("lapwing/v1/agent/gw/alert", &vec![0; length], false, Some(1)).len();
        assert!((bytes..bytes + 4).contains(&(length + publish_overhead("lapwing/v1/agent/gw/alert"))));
    }
}

#[test]
fn a_packet_in_pieces_is_read_once_it_is_whole() {
    let bytes = publish("lapwing/v1/agent/gw/ack", &[9; 300], false, Some(7));
    for end in 0..bytes.len() {
        assert_eq!(next(&bytes[..end], LIMIT), Ok(None), "{end} bytes");
    }
    let two = [&bytes[..], &[0xd0, 0]].concat();
    let packet =
        Incoming::Publish { topic: "lapwing/v1/agent/gw/ack".into(), payload: vec![9; 300], identifier: Some(7) };
    assert_eq!(next(&two, LIMIT), Ok(Some((packet, bytes.len()))));
    assert_eq!(next(&two[bytes.len()..], LIMIT), Ok(Some((Incoming::PingResp, 2))));
}

#[test]
fn every_property_of_a_connack_is_read_or_skipped() {
    let properties = [
        &[17, 0, 0, 0, 9, 33, 0, 20, 36, 0, 37, 0, 39, 0, 0, 16, 0, 34, 0, 10, 40, 1, 41, 1, 42, 1, 19, 0, 60][..],
        &[18, 0, 2, b'i', b'd', 31, 0, 2, b'n', b'o', 38, 0, 1, b'k', 0, 1, b'v', 28, 0, 1, b's', 26, 0, 0],
        &[21, 0, 1, b'm', 22, 0, 1, 0xff],
    ]
    .concat();
    let head = [0x20, properties.len() as u8 + 3, 0, 0x9d, properties.len() as u8];
    let Ok(Incoming::ConnAck(ack)) = read(&[&head[..], &properties].concat()) else { panic!("no CONNACK") };
    let limits = BrokerLimits { receive_maximum: 20, packet_bytes: Some(4096), acknowledges: false, retains: false };
    let goodbye = Goodbye { reason: 0x9d, text: Some("no".into()), reference: Some("s".into()) };
    assert_eq!((ack.goodbye, ack.limits, ack.keep_alive_s), (goodbye, limits, Some(60)));
}

#[test]
fn short_forms_of_answers_are_read() {
    let disconnected = |reason| Incoming::Disconnect(Goodbye { reason, ..Goodbye::default() });
    assert_eq!(read(&[0xe0, 0]), Ok(disconnected(0)));
    assert_eq!(read(&[0xe0, 1, 0x8e]), Ok(disconnected(0x8e)));
    assert_eq!(read(&[0xe0, 2, 0x8e, 0]), Ok(disconnected(0x8e)));
    assert_eq!(read(&[0x40, 2, 0, 9]), Ok(Incoming::PubAck { identifier: 9, reason: 0 }));
    assert_eq!(read(&[0x40, 3, 0, 9, 0x87]), Ok(Incoming::PubAck { identifier: 9, reason: 0x87 }));
    assert_eq!(read(&[0x90, 4, 0, 9, 0, 0x87]), Ok(Incoming::SubAck { identifier: 9, reason: 0x87 }));
    // A broker for MQTT 3.1.1 that refuses the version.
    let Ok(Incoming::ConnAck(ack)) = read(&[0x20, 2, 0, 1]) else { panic!("no CONNACK") };
    assert_eq!(ack.goodbye.reason, 0x84);
}

#[test]
fn a_text_of_the_broker_is_shortened() {
    let text = [b'x'; 1000];
    let body = [&[0x98, 0xeb, 0x07, 31, 0x03, 0xe8][..], &text].concat();
    let bytes = [&[0xe0, 0xee, 0x07][..], &body].concat();
    let Ok(Incoming::Disconnect(goodbye)) = read(&bytes) else { panic!("{:?}", read(&bytes)) };
    assert_eq!(goodbye.text.unwrap().len(), 120);
}

#[test]
fn what_a_broker_must_not_send_is_an_error() {
    let alias = [&[0x30, 7, 0, 1, b't', 3, 35, 0, 1][..], &[0x30, 6, 0, 0, 3, 35, 0, 1]];
    alias.iter().for_each(|bytes| assert_eq!(read(bytes), Err(ProtocolError::Alias), "{bytes:?}"));
    assert_eq!(read(&[0x34, 6, 0, 1, b't', 0, 1, 0]), Err(ProtocolError::Qos(2)));
    assert_eq!(read(&[0x36, 6, 0, 1, b't', 0, 1, 0]), Err(ProtocolError::Qos(3)));
    assert_eq!(read(&[0x20, 6, 0, 0, 3, 33, 0, 0]), Err(ProtocolError::Zero("receive or packet size maximum")));
    assert_eq!(
        next(&[0x30, 0xff, 0xff, 0xff, 0x7f], LIMIT),
        Err(ProtocolError::TooLong { bytes: 268_435_460, limit: LIMIT })
    );
    for bytes in [&[0x50, 2, 0, 1][..], &[0x62, 2, 0, 1], &[0x70, 2, 0, 1], &[0xf0, 2, 0, 0], &[0xc0, 0], &[0x10, 0]] {
        assert!(matches!(read(bytes), Err(ProtocolError::Unexpected(_))), "{bytes:?}");
    }
    for bytes in [
        &[0x30, 0x80, 0x80, 0x80, 0x80, 0][..],
        &[0x30, 2, 0, 9],
        &[0x30, 3, 0, 0, 0],
        &[0x32, 6, 0, 1, b't', 0, 0, 0],
        &[0x30, 4, 0, 1, 0xff, 0],
        &[0x30, 5, 0, 1, b't', 1, 200],
        &[0x40, 1, 0],
        &[0x90, 5, 0, 1, 0, 0, 0],
        &[0xe0, 3, 0x80, 9, 31],
    ] {
        assert!(matches!(read(bytes), Err(ProtocolError::Malformed(_))), "{bytes:?}: {:?}", read(bytes));
    }
}

#[test]
fn random_bytes_are_a_packet_or_an_error() {
    let mut random = fastrand::Rng::with_seed(14);
    for _ in 0..50_000 {
        let mut bytes: Vec<u8> = (0..random.usize(2..40)).map(|_| random.u8(..)).collect();
        bytes[1] = random.u8(..bytes.len() as u8);
        if let Ok(Some((_, length))) = next(&bytes, LIMIT) {
            assert!((2..=bytes.len()).contains(&length));
        }
    }
}
