//! Fragments → packets with the ports of their datagram, metered now or after a short wait for the first fragment.

use super::FlowTable;
use crate::flow::record::FlowSink;
use crate::packet::{Fragment, Packet};
use crate::units::Timestamp;

impl FlowTable {
    /// Meters a fragment, or holds a later one until its first arrives.
    #[cold]
    pub(super) fn meter_fragment(&mut self, packet: &mut Packet, sink: &mut impl FlowSink) {
        let fragment = packet.fragment;
        match fragment {
            Fragment::First(identification) => {
                self.fragments.remember(packet, identification);
                self.meter_rare(packet, sink);
                while let Some(held) = self.fragments.take(packet, identification) {
                    self.meter_rare(&Packet { timestamp: packet.timestamp, ..held }, sink);
                }
            }
            Fragment::Later(_) if !self.fragments.look_up(packet) => {
                if let Some(oldest) = self.fragments.hold(packet) {
                    self.meter_rare(&Packet { timestamp: packet.timestamp, ..oldest }, sink);
                }
                self.due = self.due.min(self.fragments.deadline());
            }
            _ => self.meter_rare(packet, sink),
        }
    }

    /// Meters the oldest held fragment without ports, at its deadline.
    pub(super) fn release_fragment(&mut self, at: Timestamp, sink: &mut impl FlowSink) {
        if let Some(held) = self.fragments.give_up() {
            self.meter_rare(&Packet { timestamp: at, ..held }, sink);
        }
    }

    /// Meters every held fragment, at the table's time.
    pub(super) fn release_fragments(&mut self, sink: &mut impl FlowSink) {
        while let Some(held) = self.fragments.give_up() {
            self.meter_rare(&Packet { timestamp: self.clock, ..held }, sink);
        }
    }

    /// Keeps the common path the only place that this is inlined into.
    #[inline(never)]
    fn meter_rare(&mut self, packet: &Packet, sink: &mut impl FlowSink) {
        self.meter_now(packet, sink);
    }
}
