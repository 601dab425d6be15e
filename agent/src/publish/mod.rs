//! What the agent tells and hears over MQTT 5, on a thread of its own.
//!
//! [`session`] decides, without a socket or a clock; [`client`] moves bytes between it and the broker. The packet side
//! talks to it over two bounded channels and never waits: [`FromPipeline`] by `try_send`, [`ToPipeline`] by `try_recv`.

pub mod backoff;
pub mod client;
pub mod json;
pub mod session;
#[cfg(feature = "tls")]
mod crypto;
#[cfg(feature = "tls")]
mod tls;
mod trouble;
#[cfg(feature = "tls")]
mod x25519;

use crate::update::engine::InstalledRelease;
use lapwing_shared::messages::{Alert, Health, Samples};
use lapwing_shared::release::trial::TrialVerdict;

/// To the packet side.
#[derive(Debug)]
pub enum ToPipeline<E> {
    /// Use this release from now on.
    Install(InstalledRelease<E>),
    /// Go on without a release: the one on trial failed and none was confirmed before.
    Remove,
}

/// From the packet side.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "samples come once in minutes, and a box would be allocated for each")]
pub enum FromPipeline {
    /// An episode's message.
    Alert(Alert),
    /// A reservoir's batch.
    Samples(Samples),
    /// Counters; the outbox's own are filled in here.
    Health(Health),
    /// The wall clock was set: what was made before and not sent is mended. Nanoseconds to add to its times, and the
    /// wall clock now in seconds.
    ClockSet(i64, u64),
    /// How the trial of this version ended.
    TrialVerdict(u64, TrialVerdict),
}
