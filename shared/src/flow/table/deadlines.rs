//! The clock → the records and held fragments whose deadline has passed, earliest first.
//!
//! Flows wait in one queue for each span of time, so that the oldest of each queue has its earliest deadline.

use super::{FlowTable, LINGER, Queue};
use crate::flow::entry::Wait;
use crate::flow::lru::{NONE, Slot};
use crate::flow::record::{EndReason, FlowSink};
use crate::units::Timestamp;

impl FlowTable {
    /// Exports every record, and meters every held fragment, whose deadline is at or before `now`; earliest deadline
    /// first.
    #[inline(never)]
    pub(super) fn expire(&mut self, now: Timestamp, sink: &mut impl FlowSink) {
        loop {
            // Outside of the loop over records: metering a held fragment holds none.
            let held_until = self.fragments.deadline();
            self.expire_records(now, held_until, sink);
            if held_until > now || held_until == Timestamp::MAX {
                return;
            }
            self.release_fragment(held_until, sink);
        }
    }

    /// Exports every record whose deadline is at or before `now` and before that of a held fragment.
    #[inline(always)]
    fn expire_records(&mut self, now: Timestamp, held_until: Timestamp, sink: &mut impl FlowSink) {
        self.due = held_until;
        while let Some((deadline, slot, reason)) = self.next_deadline() {
            if deadline > now || deadline >= held_until {
                self.due = deadline.min(held_until);
                break;
            }
            match reason {
                EndReason::Active => self.cut(slot, deadline, sink),
                _ => self.finish(slot, reason, deadline, sink),
            }
        }
    }

    #[inline]
    fn next_deadline(&self) -> Option<(Timestamp, Slot, EndReason)> {
        let oldest = self.flows.oldest()?;
        let mut next = (self.flows.value(oldest).last.plus(self.idle_timeout), oldest, EndReason::Idle);
        let waits =
            [(self.active, self.active_timeout, EndReason::Active), (self.linger, LINGER, EndReason::EndDetected)];
        for (queue, span, reason) in waits {
            let deadline = queue.since.plus(span);
            if queue.oldest != NONE && deadline < next.0 {
                next = (deadline, queue.oldest, reason);
            }
        }
        Some(next)
    }

    pub(super) fn enqueue(&mut self, slot: Slot, wait: Wait, since: Timestamp) {
        let span = if wait == Wait::Linger { LINGER } else { self.active_timeout };
        self.due = self.due.min(since.plus(span));
        let newest = self.queue(wait).newest;
        let flow = self.flows.value_mut(slot);
        (flow.wait, flow.wait_since, flow.wait_older, flow.wait_newer) = (wait, since, newest, NONE);
        match newest {
            NONE => {
                let queue = self.queue(wait);
                (queue.oldest, queue.since) = (slot, since);
            }
            newest => self.flows.value_mut(newest).wait_newer = slot,
        }
        self.queue(wait).newest = slot;
    }

    pub(super) fn dequeue(&mut self, slot: Slot) {
        let flow = self.flows.value(slot);
        let (wait, older, newer) = (flow.wait, flow.wait_older, flow.wait_newer);
        match older {
            NONE => {
                let since = if newer == NONE { Timestamp::EPOCH } else { self.flows.value(newer).wait_since };
                let queue = self.queue(wait);
                (queue.oldest, queue.since) = (newer, since);
            }
            older => self.flows.value_mut(older).wait_newer = newer,
        }
        match newer {
            NONE => self.queue(wait).newest = older,
            newer => self.flows.value_mut(newer).wait_older = older,
        }
    }

    fn queue(&mut self, wait: Wait) -> &mut Queue {
        if wait == Wait::Linger { &mut self.linger } else { &mut self.active }
    }
}
