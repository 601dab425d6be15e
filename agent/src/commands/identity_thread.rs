//! The thread of a running agent that enrols it, and renews its certificate after the end, at the enrolment port; and that
//! notices an identity with which the agent cannot continue.
//!
//! Before its first identity the agent has no broker, name, group or keys, and its sandbox permits no connection to the
//! broker's port, so that it must start again to use it. Later identities are used while it runs, see
//! [`crate::identity::Keeper`].

use super::enroll::{described_wait, enrolment, one_line, open, pause};
use crate::clock;
use crate::config::Config;
use crate::disk::Folder;
use crate::identity::{EnrolError, Enrolment, Identity, Progress, enrol, read};
use crate::publish::enrolment_port::ask;
use crate::report::SharedReport;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Interval between two looks at the folder.
const LOOK: Duration = Duration::from_secs(5);
/// Pauses between two attempts after an error that will hardly pass by itself.
const LONG_PAUSES: u32 = 60;

/// Starts the thread, if there is a folder for an identity. The result becomes true when the agent must start again; it is
/// then stopped.
///
/// # Errors
/// When the token or the name is invalid, or the thread cannot be started.
pub(crate) fn start(
    config: &Config,
    report: &SharedReport,
    stopped: &Arc<AtomicBool>,
) -> anyhow::Result<Arc<AtomicBool>> {
    let must_restart = Arc::new(AtomicBool::new(false));
    let Some(folder) = config.identity_dir() else { return Ok(must_restart) };
    let token = config.mqtt.token.as_deref().filter(|_| config.enrolment_token().is_some());
    let mut watch = Watch {
        disk: open(folder)?,
        first: config.identity.clone(),
        enrolment: enrolment(token, None, config)?,
        report: report.clone(),
        next_ms: 0,
    };
    let (stopped, done) = (Arc::clone(stopped), Arc::clone(&must_restart));
    let work = move || {
        while !stopped.load(Ordering::Relaxed) {
            if watch.pass(clock::monotonic_ms()) {
                done.store(true, Ordering::Relaxed);
                stopped.store(true, Ordering::Relaxed);
            } else {
                std::thread::sleep(LOOK);
            }
        }
    };
    std::thread::Builder::new().name("identity".into()).spawn(work)?;
    Ok(must_restart)
}

struct Watch {
    disk: Folder,
    /// The identity with which the agent started.
    first: Option<Identity>,
    enrolment: Enrolment,
    report: SharedReport,
    /// Earliest next attempt at the port, milliseconds.
    next_ms: u64,
}

impl Watch {
    /// True if the agent must start again.
    fn pass(&mut self, now_ms: u64) -> bool {
        // The network thread reports files that cannot be read.
        let found = read(&mut self.disk).ok().flatten();
        let is_wanted = match (&self.first, &found) {
            (None, None) => self.enrolment.token.is_some(),
            (_, Some(found)) => self.has_ended(found),
            (Some(_), None) => false,
        };
        if is_wanted && now_ms >= self.next_ms {
            self.next_ms = now_ms + self.attempt();
        }
        match (&self.first, read(&mut self.disk)) {
            (Some(first), Ok(Some(found))) if first.fits(&found) => false,
            (_, Ok(Some(found))) => {
                tracing::info!(agent = %found.name, "enrolled; the agent restarts with its identity");
                true
            }
            _ => false,
        }
    }

    fn has_ended(&self, identity: &Identity) -> bool {
        let has_passed = clock::at_least_s().is_some_and(|now_s| now_s >= identity.enrolled.until_s);
        has_passed || self.report.edit().certificate_expired
    }

    /// One request; returns the time until the next, milliseconds.
    fn attempt(&mut self) -> u64 {
        let error = match enrol(&mut self.disk, &self.enrolment, ask) {
            Ok(Progress::Enrolled(_)) => {
                self.report.edit().certificate_expired = false;
                return 0;
            }
            Ok(Progress::Waiting { name, fingerprint, .. }) => {
                let text = one_line(&described_wait(&name, &fingerprint));
                tracing::info!("{text}");
                self.report.edit().enrolment = text;
                return as_ms(pause());
            }
            Err(error) => error,
        };
        let is_temporary = error.is_temporary();
        if self.first.is_none() {
            self.report.edit().enrolment = error.to_string();
        }
        let what = failure(self.first.is_some());
        if is_temporary {
            tracing::warn!(%error, "{what}; trying again");
        } else {
            tracing::error!(%error, "{what}");
        }
        if self.first.is_none() && !is_temporary && !matches!(error, EnrolError::Files(_)) {
            tracing::error!("this agent reports nothing until it has another token");
            self.enrolment.token = None;
        }
        as_ms(if is_temporary { pause() } else { pause() * LONG_PAUSES })
    }
}

/// What an attempt failed to do: an agent with an identity stays enrolled.
const fn failure(has_identity: bool) -> &'static str {
    if has_identity { "certificate not renewed" } else { "not enrolled" }
}

fn as_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_whose_certificate_ended_is_still_enrolled() {
        assert_eq!((failure(true), failure(false)), ("certificate not renewed", "not enrolled"));
    }
}
