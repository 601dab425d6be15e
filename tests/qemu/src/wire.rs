//! A stretch of a capture → raw frames on the guest's wire, at the pace at which they were recorded.

use anyhow::{Context, ensure};
use lapwing_capture::{FileSource, PacketSource};
use lapwing_shared::packet::LinkType;
use lapwing_shared::units::Timestamp;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

/// Longest frame of Ethernet without its checksum.
const FRAME_OCTETS: usize = 1514;

/// Sends every frame that was recorded from `from` to before `to`, seconds since the epoch, to the port of loopback
/// where QEMU takes frames for the guest; how many. What the recording cut off is made up with zeros.
///
/// # Errors
/// When the capture cannot be read, has no such frames, or QEMU's port is closed.
pub fn send(capture: &Path, from: u64, to: u64, wire: (u16, u16)) -> anyhow::Result<u64> {
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
        socket.send(&octets)?;
        sent += 1;
    }
    ensure!(sent > 0, "{}: no frame between the given times", capture.display());
    Ok(sent)
}
