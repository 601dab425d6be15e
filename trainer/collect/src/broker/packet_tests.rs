//! Hostile and ordinary bytes → the decoder.

use super::packet::{ClientPacket, Connect, Illegal, Publish, Subscription, code, decode, header};

const LIMIT: usize = 66 * 1024;

/// Decodes one packet; `None` if it is incomplete.
fn read(bytes: &[u8]) -> Result<Option<ClientPacket>, Illegal> {
    let Some(found) = header(bytes, LIMIT)? else { return Ok(None) };
    bytes.get(found.begin..found.end).map(|body| decode(found, body)).transpose()
}

fn code_of(bytes: &[u8]) -> u8 {
    read(bytes).unwrap_err().code
}

/// One valid packet of each type.
fn valid() -> Vec<Vec<u8>> {
    let connect =
        b"\x10\x2a\0\x04MQTT\x05\xce\0\x3c\x05\x27\0\0\xf4\0\0\x02gw\0\0\x03w/t\0\x02hi\0\x01u\0\x02pw".to_vec();
    let mut connect_fixed = connect.clone();
    connect_fixed[1] = (connect.len() - 2) as u8;
    vec![
        connect_fixed,
        b"\x32\x0a\0\x03a/b\0\x07\0hi".to_vec(),
        b"\x31\x07\0\x03a/b\0x".to_vec(),
        b"\x82\x09\0\x05\0\0\x03a/+\x25".to_vec(),
        b"\xa2\x08\0\x05\0\0\x03a/+".to_vec(),
        b"\xc0\0".to_vec(),
        b"\xe0\0".to_vec(),
        b"\xe0\x02\x04\0".to_vec(),
    ]
}

#[test]
fn valid_packets_are_decoded() {
    let packets: Vec<_> = valid().iter().map(|bytes| read(bytes).unwrap().unwrap()).collect();
    let publish = |topic: &str, payload: &[u8], retain, packet| Publish {
        topic: topic.into(),
        payload: payload.to_vec(),
        retain,
        packet,
    };
    let filter = Subscription { filter: "a/+".into(), no_local: true, retain_handling: 2 };
    let will = Some(publish("w/t", b"hi", false, None));
    let expected = [
        ClientPacket::Connect(Connect { client: "gw".into(), keep_alive_s: 60, packet_bytes: 62_464, will }),
        ClientPacket::Publish(publish("a/b", b"hi", false, Some(7))),
        ClientPacket::Publish(publish("a/b", b"x", true, None)),
        ClientPacket::Subscribe { packet: 5, filters: vec![filter] },
        ClientPacket::Unsubscribe { packet: 5, filters: vec!["a/+".into()] },
        ClientPacket::Ping,
        ClientPacket::Disconnect { with_will: false },
        ClientPacket::Disconnect { with_will: true },
    ];
    assert_eq!(packets, expected);
}

#[test]
fn packets_of_a_server_are_rejected_by_their_first_byte() {
    for bytes in [b"\x20\x01\0".as_slice(), b"\xb0\x01\0", b"\x90\0", b"\xd0\0", b"\x40\x02\0\x01", b"\0\0", b"\xf0\0"]
    {
        assert_eq!(code_of(bytes), code::PROTOCOL_ERROR, "{bytes:02x?}");
    }
}

#[test]
fn each_illegal_field_has_its_reason_code() {
    let cases: [(&[u8], u8); 16] = [
        (b"\x34\x08\0\x03a/b\0\x01\0", code::NO_QOS_2),
        (b"\x36\x08\0\x03a/b\0\x01\0", code::MALFORMED),
        (b"\x38\x06\0\x03a/b\0", code::MALFORMED),
        (b"\x32\x08\0\x03a/b\0\0\0", code::MALFORMED),
        (b"\x30\x09\0\x03a/b\x03\x23\0\x01", code::NO_ALIAS),
        (b"\x30\x08\0\x03a/b\x02\x0b\x01", code::MALFORMED),
        (b"\x30\x06\0\x03a/#\0", code::BAD_TOPIC),
        (b"\x30\x03\0\0\0", code::BAD_TOPIC),
        (b"\x30\x06\0\x03a\xff\xff\0", code::MALFORMED),
        (b"\x30\x06\0\x03a\0b\0", code::MALFORMED),
        (b"\x82\x03\0\x05\0", code::PROTOCOL_ERROR),
        (b"\x80\x09\0\x05\0\0\x03a/+\0", code::MALFORMED),
        (b"\x82\x0b\0\x05\x02\x0b\x01\0\x03a/+\0", code::NO_SUBSCRIPTION_ID),
        (b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\0\0", code::UNSUPPORTED_VERSION),
        (b"\x30\xff\xff\xff\xff", code::MALFORMED),
        (b"\x30\xff\xff\xff\x7f", code::TOO_LARGE),
    ];
    for (bytes, code) in cases {
        assert_eq!(code_of(bytes), code, "{bytes:02x?}");
    }
}

#[test]
fn every_cut_and_changed_packet_is_rejected_or_decoded_without_a_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    let (mut rejected, mut decoded) = (0, 0);
    for packet in valid() {
        for end in 0..packet.len() {
            assert_eq!(read(&packet[..end]), Ok(None), "{:02x?}", &packet[..end]);
            // The same packet with a shorter length.
            let mut cut = packet[..end].to_vec();
            if end > 2 {
                cut[1] = (end - 2) as u8;
                rejected += u32::from(read(&cut).is_err());
            }
        }
        for _ in 0..20_000 {
            let mut changed = packet.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..changed.len());
                changed[at] = random.u8(..);
            }
            match read(&changed) {
                Ok(_) => decoded += 1,
                Err(_) => rejected += 1,
            }
        }
    }
    assert!(rejected > 10_000 && decoded > 10_000, "{rejected} {decoded}");
}
