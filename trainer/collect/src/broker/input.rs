//! A socket → packets, within the packet size and a bound on incomplete packets.

use super::hub::Hub;
use super::packet::{ClientPacket, Illegal, code, decode, header, illegal};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Packets up to this size may take as long as the keep-alive permits.
const SMALL_BYTES: usize = 8 * 1024;
/// Time for a larger packet, from its header to its last byte.
const LARGE_TIMEOUT: Duration = Duration::from_secs(10);
/// A buffer above this capacity is freed once it is empty.
const KEPT_BYTES: usize = SMALL_BYTES;
/// Room for a read.
const READ_BYTES: usize = 2 * 1024;
/// Room for a read after one that had no room left.
const BURST_BYTES: usize = 16 * 1024;

/// Why no further packet can be read.
#[derive(Debug)]
pub(super) enum End {
    /// The connection ended.
    Closed,
    /// The client sent something illegal.
    Illegal(Illegal),
}

impl From<Illegal> for End {
    fn from(illegal: Illegal) -> Self {
        Self::Illegal(illegal)
    }
}

/// Reads packets.
pub(super) struct Input {
    socket: Box<dyn AsyncRead + Send + Unpin>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are already decoded.
    used: usize,
    /// Bytes of the last packet.
    packet_bytes: usize,
    /// The last read had no room left: there may be more.
    was_filled: bool,
    hub: Arc<Hub>,
}

impl Input {
    pub(super) fn new(socket: Box<dyn AsyncRead + Send + Unpin>, hub: Arc<Hub>) -> Self {
        Self { socket, buffer: Vec::new(), used: 0, packet_bytes: 0, was_filled: false, hub }
    }

    /// Bytes that were read and not decoded.
    pub(super) fn ahead(&self) -> usize {
        self.buffer.len() - self.used
    }

    /// Bytes of the last packet.
    pub(super) fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    /// True if the next packet, or what is illegal, needs no further read.
    pub(super) fn is_ready(&self) -> bool {
        match header(&self.buffer[self.used..], self.hub.limits.packet_bytes) {
            Ok(found) => found.is_some_and(|found| self.ahead() >= found.end),
            Err(_) => true,
        }
    }

    /// The next packet.
    pub(super) async fn next(&mut self) -> Result<ClientPacket, End> {
        let found = loop {
            match header(&self.buffer[self.used..], self.hub.limits.packet_bytes)? {
                Some(found) => break found,
                None => {
                    self.free_decoded();
                    self.read_to(self.buffer.len() + 1).await?;
                }
            }
        };
        if self.buffer.len() < self.used + found.end {
            self.free_decoded();
        }
        let end = self.used + found.end;
        if found.end > SMALL_BYTES && self.buffer.len() < end {
            let hub = Arc::clone(&self.hub);
            let complete = async {
                let _permit = hub.large.acquire().await.map_err(|_| End::Closed)?;
                self.read_to(end).await
            };
            let slow = || End::Illegal(illegal(code::QUOTA, "large packet that took too long"));
            timeout(LARGE_TIMEOUT, complete).await.map_err(|_| slow())??;
        } else {
            self.read_to(end).await?;
        }
        let packet = decode(found, &self.buffer[self.used + found.begin..end]);
        self.packet_bytes = found.end;
        self.used = end;
        if self.used == self.buffer.len() {
            self.used = 0;
            self.buffer.clear();
            if self.buffer.capacity() > KEPT_BYTES {
                self.buffer = Vec::new();
            }
        }
        Ok(packet?)
    }

    /// Reads until the buffer has this many bytes.
    async fn read_to(&mut self, bytes: usize) -> Result<(), End> {
        while self.buffer.len() < bytes {
            let room = if self.was_filled { BURST_BYTES } else { READ_BYTES };
            self.buffer.reserve((bytes - self.buffer.len()).max(room));
            let room = self.buffer.capacity() - self.buffer.len();
            match self.socket.read_buf(&mut self.buffer).await {
                Ok(count) if count > 0 => self.was_filled = count == room,
                _ => return Err(End::Closed),
            }
        }
        Ok(())
    }

    fn free_decoded(&mut self) {
        self.buffer.drain(..self.used);
        self.used = 0;
    }
}
