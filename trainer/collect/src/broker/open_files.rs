//! The process's limit of open files → the number of connections that fit below it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files for everything else: store, dashboard, log, release files.
const RESERVED: u64 = 384;

/// Raises the soft limit to the hard limit as far as needed; returns the number of connections that fit, at most
/// `wanted`.
pub(super) fn connections(wanted: usize) -> usize {
    let limits = getrlimit(Resource::Nofile);
    let needed = wanted as u64 + RESERVED;
    let mut most = limits.current.unwrap_or(u64::MAX);
    if most < needed {
        let raised = needed.min(limits.maximum.unwrap_or(u64::MAX));
        if raised > most && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limits }).is_ok() {
            most = raised;
        }
    }
    let fit = fitting(wanted, most);
    if fit < wanted {
        tracing::warn!(
            connections = fit,
            wanted,
            open_files = most,
            "the limit of open files allows fewer connections than broker.connections; raise it (ulimit -n, LimitNOFILE=)"
        );
    }
    fit
}

/// Connections below a limit of open files; half of it if that is less than the reserve.
fn fitting(wanted: usize, open_files: u64) -> usize {
    let most = open_files.saturating_sub(RESERVED).max(open_files / 2);
    usize::try_from(most).map_or(wanted, |most| most.min(wanted)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_open_files_for_store_and_dashboard() {
        assert_eq!(fitting(10_000, 1_024), 640);
        assert_eq!(fitting(10_000, 256), 128);
        assert_eq!(fitting(500, 1_024), 500);
        assert_eq!(fitting(10_000, u64::MAX), 10_000);
    }
}
