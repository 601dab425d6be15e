//! One interface: its socket, where it stands, and its way back after it was lost.

use crate::block::{Located, Walk};
use crate::counters::{Counters, bridge_ports};
use crate::error::LiveError;
use crate::filter::Filter;
use crate::sys::{PacketSocket, RingSize};
use lapwing_shared::packet::{LinkType, Refusal, RefusalCounts};
use lapwing_shared::units::Timestamp;

/// ARPHRD number of loopback, where every packet passes twice.
const LOOPBACK: u16 = 772;
/// First wait before an interface that refused is tried again, nanoseconds; doubled up to [`LONGEST_WAIT`].
const FIRST_WAIT: u64 = 1_000_000_000;
/// Longest such wait, nanoseconds.
const LONGEST_WAIT: u64 = 30_000_000_000;

/// Where an interface stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// There is none of this name.
    #[default]
    Absent,
    /// It is there, and switched off or without a cable.
    Down,
    /// Packets are heard.
    Up,
}

/// What is told of an interface; counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceReport {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub link: Link,
    /// Packets that were read.
    pub packets: u64,
    /// Their octets on the wire.
    pub octets: u64,
    /// Packets that the kernel dropped because the ring was full.
    pub dropped: u64,
    /// Octets that passed it while it was heard, by its own counters.
    pub moved_octets: u64,
    /// Times that it went down or away.
    pub losses: u64,
    /// Blocks that contradicted themselves; none is expected.
    pub damaged_blocks: u64,
    /// Packets are left out by a filter, so that [`InterfaceReport::moved_octets`] cannot be compared.
    pub filtered: bool,
}

/// See the module's text.
pub(crate) struct Interface {
    pub(crate) report: InterfaceReport,
    pub(crate) socket: PacketSocket,
    /// The frame to give next.
    pub(crate) next: Option<Located>,
    walk: Option<Walk>,
    bound: Option<u32>,
    ports: Vec<String>,
    promiscuous: bool,
    moved_before: Option<u64>,
    wait: u64,
    not_before: u64,
}

/// Link type of an ARPHRD number, as a packet socket shows such frames.
pub(crate) fn link_type(hardware: u16) -> Option<LinkType> {
    match hardware {
        1 | LOOPBACK => Some(LinkType::Ethernet),
        // PPP, raw IP, IPIP, IP6IP6, SIT, and "none" as tun and WireGuard have it.
        512 | 519 | 768 | 769 | 776 | 0xfffe => Some(LinkType::RawIp),
        _ => None,
    }
}

impl Interface {
    /// Opens the socket and, where the interface is there, listens.
    pub(crate) fn open(name: &str, ring: RingSize, promiscuous: bool, filter: &Filter) -> Result<Self, LiveError> {
        let socket = PacketSocket::open(ring).map_err(LiveError::Socket)?;
        socket.attach(filter.program()).map_err(LiveError::Filter)?;
        if let Ok(hardware) = socket.hardware_of(name)
            && link_type(hardware).is_none()
        {
            return Err(LiveError::Hardware { name: name.to_owned(), hardware });
        }
        let report = InterfaceReport { name: name.to_owned(), filtered: filter.leaves_out(), ..Default::default() };
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

    /// Looks whether the interface is still the one that is listened to, and listens again where it is not.
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
            tracing::info!(interface = %name, ?link, error = error.map(tracing::field::display), "interface");
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
                tracing::warn!(interface = %self.report.name, %error, wait_ms = self.wait / 1_000_000, "cannot listen");
                self.not_before = monotonic.saturating_add(self.wait);
                self.wait = (self.wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    /// Takes over what kernel and interface counted.
    pub(crate) fn count(&mut self, counters: &Counters) {
        if let Ok(statistics) = self.socket.statistics() {
            self.report.dropped += u64::from(statistics.drops);
        }
        let moved = self.bound.and_then(|_| counters.octets(&self.report.name, &self.ports));
        if let (Some(now), Some(before)) = (moved, self.moved_before) {
            // A counter that went back belongs to another interface of this name.
            self.report.moved_octets += now.saturating_sub(before);
        }
        self.moved_before = moved;
    }

    /// Finds the next frame, in this block or in the next ones that are ready; true where a block was begun.
    #[inline]
    pub(crate) fn find(&mut self, refusals: &mut RefusalCounts) -> bool {
        let mut begun = false;
        loop {
            let Some(walk) = &mut self.walk else {
                if !self.socket.take() {
                    return begun;
                }
                self.walk = Some(Walk::begin(self.socket.block()));
                begun = true;
                continue;
            };
            match walk.next(self.socket.block()) {
                // Loopback shows each packet on its way out and on its way in.
                Some(located) if located.outgoing && located.hardware == LOOPBACK => {}
                Some(located) if link_type(located.hardware).is_none() => refusals.count(Refusal::UnknownLinkType),
                Some(located) => {
                    self.next = Some(located);
                    return begun;
                }
                None => {
                    self.report.damaged_blocks += u64::from(walk.damaged);
                    self.walk = None;
                    self.socket.release();
                }
            }
        }
    }

    /// When the next frame was seen.
    #[inline]
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.next.map(|located| located.timestamp)
    }

    /// Takes the next frame out of its place: link type, and where it lies.
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
