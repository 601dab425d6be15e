//! Configuration → user, capabilities, files and system calls that the process keeps once its sockets are open.
//!
//! The packet sockets are opened before, and stay usable for interfaces that return. Measures that the kernel does not
//! support are skipped and reported. Files: only those that the configuration names and that name resolution needs
//! (`files`, Landlock). System calls: only those on a list (`calls`, seccomp). Programs that need more, as `nft` does for
//! blocking, run in a process that is started before (`response::helper`).

#[cfg(feature = "sandbox")]
mod calls;
#[cfg(any(test, feature = "sandbox"))]
pub(crate) mod files;
pub(crate) mod own;

use crate::budget;
use crate::config::{Config, Size};
use lapwing_live::rights;

/// Applies all measures; returns those that succeeded and failed, for log and status. Call before starting threads.
///
/// # Errors
/// When a folder that the agent writes to cannot be created, or when a user is configured, but the agent cannot become
/// that user.
pub(crate) fn confine(config: &Config) -> anyhow::Result<Vec<String>> {
    let mut measures = Vec::new();
    let mut record = |what: &str, outcome: Result<(), String>| match outcome {
        Ok(()) => measures.push(what.to_owned()),
        Err(error) => {
            tracing::warn!(measure = what, %error, "confinement measure failed");
            measures.push(format!("no {what}: {error}"));
        }
    };
    own::make_folders(config)?;
    if let Some(Size(bytes)) = config.resources.memory {
        let what = format!("memory limited to {} MiB with stacks", budget::data_limit(bytes) >> 20);
        record(&what, budget::limit_data(bytes).map_err(text));
    }
    record("nice", rights::set_nice(config.resources.nice).map_err(text));
    if let Some(name) = &config.resources.user {
        let account = own::account(name)?;
        own::give_files(config, account);
        rights::become_user(account.user, account.group).map_err(|error| {
            anyhow::anyhow!("cannot switch to user {name}: {error}; start as root, or remove resources.user")
        })?;
        record(&format!("user {name}"), Ok(()));
    }
    record("capabilities dropped", rights::drop_capabilities(&[]).map_err(text));
    record("no new privileges", rights::no_new_privileges().map_err(text));
    if config.resources.sandbox {
        sandbox(config, &mut record);
    }
    Ok(measures)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(not(feature = "sandbox"))]
fn sandbox(_: &Config, record: &mut impl FnMut(&str, Result<(), String>)) {
    record("sandbox", Err("not in this build".into()));
}

#[cfg(feature = "sandbox")]
fn sandbox(config: &Config, record: &mut impl FnMut(&str, Result<(), String>)) {
    match files::restrict(config) {
        Ok(what) => record(&what, Ok(())),
        Err(error) => record("landlock", Err(error)),
    }
    if config.resources.seccomp_log_only {
        record("seccomp, log only", calls::restrict(calls::Mode::LogOnly));
    } else {
        record("seccomp", calls::restrict(calls::Mode::Enforce));
    }
}
