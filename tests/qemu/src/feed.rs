//! Captures → a capture stream over TCP, which the guest's agent reads from a pipe.

use anyhow::{Context, ensure};
use lapwing_capture::{FileSource, PacketSource};
use lapwing_shared::packet::LinkType;
use lapwing_shared::units::{NANOS_PER_SECOND, Nanos};
use std::io::{BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// Classic pcap, nanosecond times, Ethernet: <https://www.tcpdump.org/manpages/pcap-savefile.5.html>.
const HEADER: [u32; 6] = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, 1];
const DAY: Nanos = Nanos::from_secs(86_400);

/// Where the guest fetches its packets.
pub struct Door {
    listener: TcpListener,
    /// Days by which the next capture is moved, so that time never goes back.
    days: u64,
}

impl Door {
    /// A free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub fn open() -> anyhow::Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0")?, days: 0 })
    }

    /// The port.
    ///
    /// # Errors
    /// The system's.
    pub fn port(&self) -> anyhow::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Waits for the guest of a machine that was just started.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn wait(&mut self) -> anyhow::Result<Feed> {
        let (stream, _) = self.listener.accept().context("the guest did not fetch its packets")?;
        let mut output = BufWriter::with_capacity(1 << 16, stream);
        for word in HEADER {
            output.write_all(&word.to_le_bytes())?;
        }
        output.flush()?;
        Ok(Feed { output, packets: 0 })
    }

    /// Sends a capture, a day after the one before; how many packets.
    ///
    /// # Errors
    /// When the capture cannot be read or the guest has gone.
    pub fn play(&mut self, feed: &mut Feed, capture: &Path) -> anyhow::Result<u64> {
        self.days += 1;
        feed.play(capture, Nanos(self.days * 7 * DAY.0))
    }
}

/// The packets of one start of the agent.
pub struct Feed {
    output: BufWriter<TcpStream>,
    /// Packets sent.
    pub packets: u64,
}

impl Feed {
    fn play(&mut self, capture: &Path, later: Nanos) -> anyhow::Result<u64> {
        let mut source = FileSource::open(capture)?;
        let mut packets = 0;
        while let Some(frame) = source.next_frame()? {
            ensure!(frame.link == LinkType::Ethernet, "{}: expected Ethernet", capture.display());
            let at = frame.timestamp.plus(later).as_nanos();
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
