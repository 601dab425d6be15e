//! Arbitrary bytes as a frame of any link type → a packet with consistent octet counts, or a reason for rejection.
#![no_main]

use lapwing_shared::packet::{LinkType, decode};
use lapwing_shared::units::Timestamp;
use libfuzzer_sys::fuzz_target;

const LINKS: [LinkType; 5] =
    [LinkType::Ethernet, LinkType::LinuxSll, LinkType::LinuxSll2, LinkType::RawIp, LinkType::Loopback];

// Byte 0: link type. Bytes 1 and 2: wire length minus captured length. The rest: the frame.
fuzz_target!(|input: &[u8]| {
    let Some((&[link, high, low], frame)) = input.split_first_chunk() else { return };
    let wire = frame.len() as u32 + u32::from(u16::from_be_bytes([high, low]));
    if let Ok(packet) = decode(LINKS[usize::from(link) % LINKS.len()], Timestamp::EPOCH, frame, wire) {
        assert_eq!(packet.frame_octets, wire);
        assert!(packet.payload_octets <= packet.network_octets);
        assert!(packet.vlan < 4096);
    }
});
