//! Any octets as a frame of any link type → a packet whose counts keep to what was on the wire, or a refusal.
#![no_main]

use lapwing_shared::packet::{LinkType, decode};
use lapwing_shared::units::Timestamp;
use libfuzzer_sys::fuzz_target;

const LINKS: [LinkType; 5] =
    [LinkType::Ethernet, LinkType::LinuxSll, LinkType::LinuxSll2, LinkType::RawIp, LinkType::Loopback];

// First octet: link type. Second and third: wire octets beyond the captured ones. The rest: the frame.
fuzz_target!(|input: &[u8]| {
    let Some((&[link, high, low], frame)) = input.split_first_chunk() else { return };
    let wire = frame.len() as u32 + u32::from(u16::from_be_bytes([high, low]));
    if let Ok(packet) = decode(LINKS[usize::from(link) % LINKS.len()], Timestamp::EPOCH, frame, wire) {
        assert_eq!(packet.frame_octets, wire);
        assert!(packet.payload_octets <= packet.network_octets);
        assert!(packet.vlan < 4096);
    }
});
