//! One interface: its socket, link state, counters, and reconnection after a loss.

use crate::block::{Located, Walk};
use crate::counters::{Counters, bridge_ports};
use crate::error::LiveError;
use crate::filter::Filter;
use crate::sys::{PacketSocket, RingSize};
use lapwing_shared::packet::{LinkType, Refusal, RefusalCounts};
use lapwing_shared::units::Timestamp;

/// ARPHRD number of loopback, where the kernel shows every packet twice.
const LOOPBACK: u16 = 772;
/// Delay before the first retry of a failed bind, nanoseconds; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: u64 = 1_000_000_000;
/// Longest retry delay, nanoseconds.
const LONGEST_WAIT: u64 = 30_000_000_000;

/// Link state of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// No interface has this name.
    #[default]
    Absent,
    /// It exists, but is switched off or has no carrier.
    Down,
    /// It is up and has a carrier.
    Up,
}

/// State of an interface, and counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct InterfaceReport {
    pub name: String,
    pub link: Link,
    /// Packets read from the ring.
    pub packets: u64,
    /// Octets of those packets on the wire.
    pub octets: u64,
    /// Packets that the kernel dropped because the ring was full.
    pub dropped: u64,
    /// Octets that passed the interface during capture, by its own counters.
    pub moved_octets: u64,
    /// How often it went down or disappeared.
    pub losses: u64,
    /// Blocks with inconsistent contents; expected to stay 0.
    pub damaged_blocks: u64,
    /// A filter excludes packets, so [`InterfaceReport::moved_octets`] is not comparable with `octets`.
    pub filtered: bool,
}

pub(crate) struct Interface {
    pub(crate) report: InterfaceReport,
    pub(crate) socket: PacketSocket,
    /// The next frame to return.
    pub(crate) next: Option<Located>,
    walk: Option<Walk>,
    bound: Option<u32>,
    ports: Vec<String>,
    promiscuous: bool,
    moved_before: Option<u64>,
    wait: u64,
    not_before: u64,
}

/// Link type of the frames that a packet socket returns for an ARPHRD number; `None` if unsupported.
pub(crate) fn link_type(hardware: u16) -> Option<LinkType> {
    match hardware {
        1 | LOOPBACK => Some(LinkType::Ethernet),
        // PPP, raw IP, IPIP, IP6IP6, SIT, and "none" (tun, WireGuard).
        512 | 519 | 768 | 769 | 776 | 0xfffe => Some(LinkType::RawIp),
        _ => None,
    }
}

impl Interface {
    /// Opens the socket. [`Interface::watch`] binds it once the interface exists.
    pub(crate) fn open(name: &str, ring: RingSize, promiscuous: bool, filter: &Filter) -> Result<Self, LiveError> {
        let socket = PacketSocket::open(ring).map_err(LiveError::Socket)?;
        socket.attach(filter.program()).map_err(LiveError::Filter)?;
        if let Ok(hardware) = socket.hardware_of(name)
            && link_type(hardware).is_none()
        {
            return Err(LiveError::Hardware { name: name.to_owned(), hardware });
        }
        let report =
            InterfaceReport { name: name.to_owned(), filtered: filter.excludes_packets(), ..Default::default() };
        Ok(Self {
            report,
            socket,
            next: None,
            walk: None,
            bound: None,
            ports: Vec::new(),
            promiscuous,
            moved_before: None,
            wait: FIRST_WAIT,
            not_before: 0,
        })
    }

    /// Updates the link state, and binds the socket again if the interface was created anew.
    pub(crate) fn watch(&mut self, monotonic: u64) {
        let name = &self.report.name;
        let index = self.socket.index_of(name).ok();
        let error = self.socket.take_error();
        let link = match index {
            None => Link::Absent,
            Some(_) if self.socket.is_up(name).unwrap_or(false) => Link::Up,
            Some(_) => Link::Down,
        };
        if link != self.report.link {
            self.report.losses += u64::from(self.report.link == Link::Up);
            tracing::info!(interface = %name, ?link, error = error.map(tracing::field::display), "link state changed");
            self.report.link = link;
        }
        match index {
            Some(index) if self.bound != Some(index) => self.listen(index, monotonic),
            None => self.bound = None,
            Some(_) => {}
        }
    }

    fn listen(&mut self, index: u32, monotonic: u64) {
        if monotonic < self.not_before {
            return;
        }
        let joined = self.socket.bind(index).and_then(|()| match self.promiscuous {
            true => self.socket.promiscuous(index),
            false => Ok(()),
        });
        match joined {
            Ok(()) => {
                (self.bound, self.wait, self.moved_before) = (Some(index), FIRST_WAIT, None);
                self.ports = bridge_ports(&self.report.name);
            }
            Err(error) => {
                let wait_ms = self.wait / 1_000_000;
                tracing::warn!(interface = %self.report.name, %error, wait_ms, "cannot capture packets; will retry");
                self.not_before = monotonic.saturating_add(self.wait);
                self.wait = (self.wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    /// Adds the kernel's drops and the interface's octets since the last call.
    pub(crate) fn count(&mut self, counters: &Counters) {
        if let Ok(statistics) = self.socket.statistics() {
            self.report.dropped += u64::from(statistics.drops);
        }
        let moved = self.bound.and_then(|_| counters.octets(&self.report.name, &self.ports));
        if let (Some(now), Some(before)) = (moved, self.moved_before) {
            // A counter that decreased belongs to a new interface with the same name.
            self.report.moved_octets += now.saturating_sub(before);
        }
        self.moved_before = moved;
    }

    /// Finds the next frame, in this block or in the next ready ones. Returns whether it started a new block.
    #[inline]
    pub(crate) fn find(&mut self, refusals: &mut RefusalCounts) -> bool {
        let mut started = false;
        loop {
            let Some(walk) = &mut self.walk else {
                if !self.socket.take() {
                    return started;
                }
                self.walk = Some(Walk::begin(self.socket.block()));
                started = true;
                continue;
            };
            match walk.next(self.socket.block()) {
                // Loopback shows each packet as outgoing and as incoming; skip the outgoing copy.
                Some(located) if located.outgoing && located.hardware == LOOPBACK => {}
                Some(located) if link_type(located.hardware).is_none() => refusals.count(Refusal::UnknownLinkType),
                Some(located) => {
                    self.next = Some(located);
                    return started;
                }
                None => {
                    self.report.damaged_blocks += u64::from(walk.damaged);
                    self.walk = None;
                    self.socket.release();
                }
            }
        }
    }

    /// Timestamp of the next frame.
    #[inline]
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.next.map(|located| located.timestamp)
    }

    /// Takes the next frame; returns its link type and location.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<(LinkType, Located)> {
        let mut located = self.next.take()?;
        let link = link_type(located.hardware)?;
        if link == LinkType::Ethernet {
            located.restore_tag(self.socket.block());
        }
        self.report.packets += 1;
        self.report.octets += u64::from(located.wire_octets);
        Some((link, located))
    }
}
