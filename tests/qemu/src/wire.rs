//! A section of a capture → raw frames on the guest's wire, with the recorded timing.

use crate::machine::WirePorts;
use anyhow::{Context, ensure};
use lapwing_capture::{FileSource, PacketSource};
use lapwing_shared::packet::LinkType;
use lapwing_shared::units::Timestamp;
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// Longest Ethernet frame without its checksum.
const FRAME_OCTETS: usize = 1514;

/// An IPv4 address to replace in the sent frames.
#[derive(Clone, Copy)]
pub(crate) struct Replacement {
    pub(crate) recorded: Ipv4Addr,
    pub(crate) sent: Ipv4Addr,
}

/// Sends every frame recorded in `seconds` (since the epoch) to the guest; returns the number of frames. Fills octets
/// beyond the recorded snaplen with zeros. Replaces an address, so that each call can show another host's traffic.
pub(crate) fn send(
    capture: &Path,
    seconds: Range<u64>,
    replacement: Replacement,
    wire: WirePorts,
) -> anyhow::Result<u64> {
    let socket = UdpSocket::bind(("127.0.0.1", wire.from_guest)).context("cannot bind the port of the guest's wire")?;
    socket.connect(("127.0.0.1", wire.to_guest))?;
    let mut source = FileSource::open(capture)?;
    let section = Timestamp::from_secs(seconds.start)..Timestamp::from_secs(seconds.end);
    let (mut sent, mut previous) = (0, section.start);
    while let Some(frame) = source.next_frame()? {
        ensure!(frame.link == LinkType::Ethernet, "{}: expected Ethernet", capture.display());
        if !section.contains(&frame.timestamp) {
            continue;
        }
        let pause = frame.timestamp.as_nanos().saturating_sub(previous.as_nanos());
        previous = frame.timestamp;
        std::thread::sleep(Duration::from_nanos(pause));
        let mut octets = frame.data.to_vec();
        octets.resize((frame.wire_octets as usize).clamp(octets.len(), FRAME_OCTETS.max(octets.len())), 0);
        replace(&mut octets, replacement);
        socket.send(&octets)?;
        sent += 1;
    }
    ensure!(sent > 0, "{}: no frames between the given times", capture.display());
    Ok(sent)
}

/// Replaces the IPv4 address. Does not update checksums, because no receiver verifies them.
fn replace(frame: &mut [u8], replacement: Replacement) {
    const ETHER_TYPE: Range<usize> = 12..14;
    const ADDRESSES: [Range<usize>; 2] = [26..30, 30..34];
    if frame.get(ETHER_TYPE) != Some(&[0x08, 0x00]) {
        return;
    }
    for place in ADDRESSES {
        if let Some(address) = frame.get_mut(place)
            && *address == replacement.recorded.octets()
        {
            address.copy_from_slice(&replacement.sent.octets());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_replaced_only_in_the_ipv4_address_fields() {
        let (from, to) = (Ipv4Addr::new(192, 168, 1, 20), Ipv4Addr::new(192, 168, 1, 120));
        let replacement = Replacement { recorded: from, sent: to };
        let mut frame = vec![0; 60];
        frame[26..30].copy_from_slice(&from.octets());
        frame[34..38].copy_from_slice(&from.octets());
        let other = frame.clone();
        replace(&mut frame, replacement);
        assert_eq!(frame, other, "not IPv4");
        frame[12..14].copy_from_slice(&[8, 0]);
        replace(&mut frame, replacement);
        assert_eq!((&frame[26..30], &frame[34..38]), (&to.octets()[..], &from.octets()[..]));
        replace(&mut [0; 13], replacement);
    }
}
