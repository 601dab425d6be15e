//! Alerts, samples, health and releases ↔ MQTT 5, on a thread of its own.
//!
//! `session` decides, without a socket or a clock; `client` connects it with the broker, and `mqtt` reads and writes
//! the packets. Two bounded channels
//! connect the scoring thread. Alerts, samples and verdicts wait for room in the first (`blocking_send`), which the network
//! thread drains even without a connection; health is dropped if it is full (`try_send`). The scoring thread polls the
//! second for releases (`try_recv`). The packet thread uses neither.

pub(crate) mod agent_name;
pub(crate) mod backoff;
pub(crate) mod channel_ends;
mod choice;
pub(crate) mod client;
mod conversation;
#[cfg(feature = "tls")]
pub(crate) mod enrolment_port;
pub(crate) mod error;
#[cfg(test)]
mod fake_broker;
#[cfg(test)]
mod hostile_tests;
mod in_flight;
pub mod json;
mod mqtt;
pub(crate) mod network_thread;
mod rate;
mod refusals;
pub(crate) mod session;
#[cfg(feature = "tls")]
mod tls;
mod trouble;

use crate::update::engine::InstalledRelease;
use crate::update::settings::Change;
use lapwing_shared::messages::{Alert, Health, Samples};
use lapwing_shared::release::trial::TrialVerdict;
use std::sync::mpsc::SyncSender;

/// To the scoring thread.
#[derive(Debug)]
pub(crate) enum ToPipeline<E> {
    /// Score with this release from now on.
    Install(InstalledRelease<E>),
    /// Continue without a release: the one on trial failed and none was confirmed before.
    Remove,
}

/// From the scoring thread.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "samples are sent every few minutes; boxing them would allocate each time"
)]
pub(crate) enum FromPipeline {
    Alert(Alert),
    /// A batch of samples.
    Samples(Samples),
    /// Counters; the session adds the outbox's.
    Health(Health),
    /// The wall clock was set: the session corrects messages that were not sent yet.
    ClockSet {
        /// Nanoseconds to add to their times.
        shift_ns: i64,
        /// The wall clock now, seconds.
        now_s: u64,
    },
    /// A command of a person, from the status socket, and where the answer goes.
    Settings(Change, SyncSender<Result<String, String>>),
    /// The trial of a release has ended.
    TrialVerdict {
        /// Version of the release.
        version: u64,
        verdict: TrialVerdict,
    },
}
