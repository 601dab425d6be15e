//! One number, the memory that the agent may take, → the size of every table.
//!
//! What is left after the program itself is shared out: half to the flow table, a fifth to what is known of hosts, a
//! fifth to messages that wait, a tenth to the capture ring. The bytes of an entry are reckoned from its
//! types, not measured in a process.

use crate::config::EngineChoice;
use crate::outbox::Limits;

/// Bytes of a flow in its table, index included.
const FLOW_BYTES: u64 = 340;
/// Bytes of a host in context and judge, indexes included.
const HOST_BYTES: u64 = 1_400;
/// What program, stacks and buffers take with the int8 engine, bytes.
const INT8_BYTES: u64 = 5 << 20;
/// What they take with tract, bytes.
const TRACT_BYTES: u64 = 16 << 20;
/// Least to share out, bytes.
const LEAST_SHARED_BYTES: u64 = 1280 * 1024;
/// More than this is of no use to the tables, bytes.
const MOST_SHARED_BYTES: u64 = 2 << 30;

/// Sizes of all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Flows.
    pub flows: usize,
    /// Hosts.
    pub hosts: usize,
    /// Messages that wait.
    pub outbox: Limits,
    /// Bytes of all capture rings together.
    pub ring_bytes: usize,
}

/// Least budget, bytes.
pub fn least(engine: EngineChoice) -> u64 {
    own(engine) + LEAST_SHARED_BYTES
}

fn own(engine: EngineChoice) -> u64 {
    match engine {
        EngineChoice::Tract => TRACT_BYTES,
        EngineChoice::Int8 => INT8_BYTES,
    }
}

/// Shares out a budget in bytes; `None` below [`least`].
pub fn share(bytes: u64, engine: EngineChoice) -> Option<Sizes> {
    let shared = bytes.checked_sub(own(engine)).filter(|shared| *shared >= LEAST_SHARED_BYTES)?;
    let tenth = shared.min(MOST_SHARED_BYTES) / 10;
    let outbox_bytes = (tenth * 2) as usize;
    Some(Sizes {
        flows: (tenth * 5 / FLOW_BYTES) as usize,
        hosts: (tenth * 2 / HOST_BYTES) as usize,
        outbox: Limits { bytes: outbox_bytes, messages: (outbox_bytes / 512).min(4096) },
        ring_bytes: (tenth as usize).max(128 * 1024),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_stay_within_the_budget_and_below_the_least_there_are_none() {
        for engine in [EngineChoice::Int8, EngineChoice::Tract] {
            assert_eq!(share(least(engine) - 1, engine), None);
            for budget in [least(engine), least(engine) * 2, 1 << 30, u64::MAX] {
                let sizes = share(budget, engine).unwrap();
                let flows = sizes.flows as u64 * FLOW_BYTES;
                let taken = flows + sizes.hosts as u64 * HOST_BYTES + (sizes.outbox.bytes + sizes.ring_bytes) as u64;
                assert!(taken + own(engine) <= budget, "{budget}: {sizes:?}");
                assert!(sizes.flows >= 1024 && sizes.hosts >= 128 && sizes.outbox.bytes > 200 * 1024, "{sizes:?}");
            }
        }
    }
}
