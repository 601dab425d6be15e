//! A stretch of a capture → raw frames on the guest's wire, at the pace at which they were recorded.

use anyhow::{Context, ensure};
use lapwing_capture::{FileSource, PacketSource};
use lapwing_shared::packet::LinkType;
use lapwing_shared::units::Timestamp;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;

/// Longest frame of Ethernet without its checksum.
const FRAME_OCTETS: usize = 1514;

/// Sends every frame that was recorded from `from` to before `to`, seconds since the epoch, to the port of loopback
/// where QEMU takes frames for the guest; how many. What the recording cut off is made up with zeros. The host `played.0`
/// appears as `played.1`, so that each stretch may be somebody else's doing.
///
/// # Errors
/// When the capture cannot be read, has no such frames, or QEMU's port is closed.
pub fn send(
    capture: &Path,
    (from, to): (u64, u64),
    played: (Ipv4Addr, Ipv4Addr),
    wire: (u16, u16),
) -> anyhow::Result<u64> {
    let (to_guest, from_guest) = wire;
    let socket = UdpSocket::bind(("127.0.0.1", from_guest)).context("the guest's wire is taken")?;
    socket.connect(("127.0.0.1", to_guest))?;
    let mut source = FileSource::open(capture)?;
    let (from, to) = (Timestamp::from_secs(from), Timestamp::from_secs(to));
    let (mut sent, mut before) = (0, from);
    while let Some(frame) = source.next_frame()? {
        ensure!(frame.link == LinkType::Ethernet, "{}: expected Ethernet", capture.display());
        if !(from..to).contains(&frame.timestamp) {
            continue;
        }
        let pause = frame.timestamp.as_nanos().saturating_sub(before.as_nanos());
        before = frame.timestamp;
        std::thread::sleep(Duration::from_nanos(pause));
        let mut octets = frame.data.to_vec();
        octets.resize((frame.wire_octets as usize).clamp(octets.len(), FRAME_OCTETS.max(octets.len())), 0);
        recast(&mut octets, played);
        socket.send(&octets)?;
        sent += 1;
    }
    ensure!(sent > 0, "{}: no frame between the given times", capture.display());
    Ok(sent)
}

/// Puts one IPv4 address in another's place. Checksums stay as they were: nobody on the wire looks at them.
fn recast(frame: &mut [u8], (from, to): (Ipv4Addr, Ipv4Addr)) {
    const ETHER_TYPE: std::ops::Range<usize> = 12..14;
    const ADDRESSES: [std::ops::Range<usize>; 2] = [26..30, 30..34];
    if frame.get(ETHER_TYPE) != Some(&[0x08, 0x00]) {
        return;
    }
    for place in ADDRESSES {
        if let Some(address) = frame.get_mut(place)
            && *address == from.octets()
        {
            address.copy_from_slice(&to.octets());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_replaced_in_both_places_of_ipv4_and_nowhere_else() {
        let (from, to) = (Ipv4Addr::new(192, 168, 1, 20), Ipv4Addr::new(192, 168, 1, 120));
        let mut frame = vec![0; 60];
        frame[26..30].copy_from_slice(&from.octets());
        frame[34..38].copy_from_slice(&from.octets());
        let other = frame.clone();
        recast(&mut frame, (from, to));
        assert_eq!(frame, other, "not IPv4");
        frame[12..14].copy_from_slice(&[8, 0]);
        recast(&mut frame, (from, to));
        assert_eq!((&frame[26..30], &frame[34..38]), (&to.octets()[..], &from.octets()[..]));
        recast(&mut [0; 13], (from, to));
    }
}
