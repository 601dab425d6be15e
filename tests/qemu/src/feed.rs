//! Captures → one capture stream over TCP, which the guest's agent reads from a pipe.

use anyhow::{Context, ensure};
use lapwing_capture::{FileSource, PacketSource};
use lapwing_shared::packet::LinkType;
use lapwing_shared::units::{NANOS_PER_SECOND, Nanos};
use std::io::{BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// Classic pcap header: nanosecond times, Ethernet; see <https://www.tcpdump.org/manpages/pcap-savefile.5.html>.
const HEADER: [u32; 6] = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, 1];
/// Shifts the timestamps of each capture by this much more than the previous one, so that time never goes back.
const SHIFT: Nanos = Nanos::from_secs(7 * 86_400);

/// Serves packets to the guest.
pub(crate) struct FeedServer {
    listener: TcpListener,
    /// Captures sent so far.
    captures: u64,
}

impl FeedServer {
    /// Listens on a free port of loopback.
    pub(crate) fn open() -> anyhow::Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0")?, captures: 0 })
    }

    pub(crate) fn port(&self) -> anyhow::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Waits for the connection of the guest's agent.
    pub(crate) fn wait(&mut self) -> anyhow::Result<Feed> {
        let (stream, _) = self.listener.accept().context("the guest did not connect to fetch packets")?;
        let mut output = BufWriter::with_capacity(1 << 16, stream);
        for word in HEADER {
            output.write_all(&word.to_le_bytes())?;
        }
        output.flush()?;
        Ok(Feed { output, packets: 0 })
    }

    /// Sends a capture, with times a week after those of the previous one; returns the number of packets.
    pub(crate) fn send(&mut self, feed: &mut Feed, capture: &Path) -> anyhow::Result<u64> {
        self.captures += 1;
        feed.send(capture, Nanos(self.captures * SHIFT.0))
    }
}

/// Packet stream of one run of the agent.
pub(crate) struct Feed {
    output: BufWriter<TcpStream>,
    /// Packets sent.
    pub(crate) packets: u64,
}

impl Feed {
    fn send(&mut self, capture: &Path, shift: Nanos) -> anyhow::Result<u64> {
        let mut source = FileSource::open(capture)?;
        let mut packets = 0;
        while let Some(frame) = source.next_frame()? {
            ensure!(frame.link == LinkType::Ethernet, "{}: expected Ethernet", capture.display());
            let at = frame.timestamp.plus(shift).as_nanos();
            let captured = frame.data.len() as u32;
            let header = [(at / NANOS_PER_SECOND) as u32, (at % NANOS_PER_SECOND) as u32, captured, frame.wire_octets];
            for word in header {
                self.output.write_all(&word.to_le_bytes())?;
            }
            self.output.write_all(frame.data)?;
            packets += 1;
        }
        self.output.flush()?;
        self.packets += packets;
        Ok(packets)
    }
}
