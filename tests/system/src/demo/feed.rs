//! Captures → one continuous capture stream on an agent's standard input.

use lapwing_capture::{FileSource, PacketSource};
use lapwing_shared::packet::LinkType;
use lapwing_shared::units::{NANOS_PER_SECOND, Nanos, Timestamp};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ChildStdin;

/// Classic pcap, nanosecond times, Ethernet: <https://www.tcpdump.org/manpages/pcap-savefile.5.html>.
const HEADER: [u32; 6] = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, 1];

/// Packets that an agent received.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Played {
    pub packets: u64,
    /// Time of the last one.
    pub last: Timestamp,
}

/// An agent's standard input.
pub struct Feed {
    input: BufWriter<ChildStdin>,
}

impl Feed {
    /// Starts the stream.
    ///
    /// # Errors
    /// When the agent has exited.
    pub fn begin(input: ChildStdin) -> anyhow::Result<Self> {
        let mut input = BufWriter::with_capacity(1 << 16, input);
        for word in HEADER {
            input.write_all(&word.to_le_bytes())?;
        }
        input.flush()?;
        Ok(Self { input })
    }

    /// Sends all packets of an Ethernet capture with their times moved forward by `later`.
    ///
    /// # Errors
    /// When the capture cannot be read or the agent has exited.
    pub fn play(&mut self, capture: &Path, later: Nanos) -> anyhow::Result<Played> {
        let mut source = FileSource::open(capture)?;
        let mut played = Played { packets: 0, last: Timestamp::EPOCH };
        while let Some(frame) = source.next_frame()? {
            anyhow::ensure!(frame.link == LinkType::Ethernet, "{}: expected Ethernet", capture.display());
            played.last = frame.timestamp.plus(later);
            let at = played.last.as_nanos();
            let captured = frame.data.len() as u32;
            let header = [(at / NANOS_PER_SECOND) as u32, (at % NANOS_PER_SECOND) as u32, captured, frame.wire_octets];
            for word in header {
                self.input.write_all(&word.to_le_bytes())?;
            }
            self.input.write_all(frame.data)?;
            played.packets += 1;
        }
        self.input.flush()?;
        Ok(played)
    }
}
