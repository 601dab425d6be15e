//! Memory budget → the size of every table.
//!
//! The memory that the program itself does not need is divided: half for the flow table, a fifth for hosts, a fifth for
//! the outbox, a tenth for the capture rings. Sizes of entries are computed from their types, not measured.

use crate::detector::EngineChoice;
use crate::outbox::Limits;

/// Bytes per flow, index included.
const FLOW_BYTES: u64 = 340;
/// Bytes per host in context, evidence tracker and habits, indexes included.
const HOST_BYTES: u64 = 1_480;
/// Program, stacks and buffers with the int8 engine, bytes.
const INT8_BYTES: u64 = 5 << 20;
/// The same with tract, bytes.
const TRACT_BYTES: u64 = 16 << 20;
/// Address space of the stacks of all threads, bytes: ten of 2 MiB, which the kernel counts in full though little is used.
const STACKS_BYTES: u64 = 20 << 20;
/// Minimum for the tables, bytes.
const MIN_SHARED_BYTES: u64 = 1280 * 1024;
/// Maximum that the tables can use, bytes.
const MAX_SHARED_BYTES: u64 = 2 << 30;

/// Sizes of all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) flows: usize,
    pub(crate) hosts: usize,
    pub(crate) outbox: Limits,
    /// All capture rings together, bytes.
    pub(crate) ring_bytes: usize,
}

/// Smallest budget, bytes.
pub(crate) fn minimum(engine: EngineChoice) -> u64 {
    own(engine) + MIN_SHARED_BYTES
}

fn own(engine: EngineChoice) -> u64 {
    match engine {
        EngineChoice::Tract => TRACT_BYTES,
        EngineChoice::Int8 => INT8_BYTES,
    }
}

/// Divides a budget in bytes; `None` below [`minimum`].
pub(crate) fn share(bytes: u64, engine: EngineChoice) -> Option<Sizes> {
    let shared = bytes.checked_sub(own(engine)).filter(|shared| *shared >= MIN_SHARED_BYTES)?;
    let tenth = shared.min(MAX_SHARED_BYTES) / 10;
    let outbox_bytes = (tenth * 2) as usize;
    Some(Sizes {
        flows: (tenth * 5 / FLOW_BYTES) as usize,
        hosts: (tenth * 2 / HOST_BYTES) as usize,
        outbox: Limits { bytes: outbox_bytes, messages: (outbox_bytes / 512).min(4096) },
        ring_bytes: (tenth as usize).max(128 * 1024),
    })
}

/// Limit on writable memory for a budget, bytes: one and a half times the budget, and the stacks. The tables stay within the
/// budget; the limit is for memory that a fault or an attack takes, and ends the agent before the router runs out of it.
pub(crate) fn data_limit(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 2).saturating_add(STACKS_BYTES)
}

/// Sets [`data_limit`] as this process's RLIMIT_DATA.
///
/// # Errors
/// The system's.
pub(crate) fn limit_data(bytes: u64) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Some(data_limit(bytes));
    Ok(setrlimit(Resource::Data, Rlimit { current: limit, maximum: limit })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_stay_within_the_budget() {
        for engine in [EngineChoice::Int8, EngineChoice::Tract] {
            assert_eq!(share(minimum(engine) - 1, engine), None);
            for budget in [minimum(engine), minimum(engine) * 2, 1 << 30, u64::MAX] {
                let sizes = share(budget, engine).unwrap();
                let flows = sizes.flows as u64 * FLOW_BYTES;
                let used = flows + sizes.hosts as u64 * HOST_BYTES + (sizes.outbox.bytes + sizes.ring_bytes) as u64;
                assert!(used + own(engine) <= budget, "{budget}: {sizes:?}");
                assert!(sizes.flows >= 1024 && sizes.hosts >= 128 && sizes.outbox.bytes > 200 * 1024, "{sizes:?}");
            }
        }
    }
}
