//! The loop of a server, until a signal or an error ends it.

use super::roles::Roles;
use super::{ServeError, Server, TICK};
use crate::config::Config;
use lapwing_collect::LinkError;
use lapwing_common::clock;
use lapwing_pipeline::order::ReleaseMaker;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use tokio::signal::unix::{SignalKind, signal};

/// Runs a server until SIGTERM, SIGINT or an error. `ready` receives the started server; if it returns false, it stops at
/// once.
///
/// # Errors
/// As [`Server::start`], [`Server::tick`] and [`Server::stop`].
pub(crate) fn run(
    config: Config,
    roles: &Roles,
    maker: Arc<dyn ReleaseMaker>,
    ready: impl FnOnce(&Server) -> bool,
) -> Result<(), ServeError> {
    let mut server = Server::start(config, roles, maker, clock::moment())?;
    if !ready(&server) {
        return server.stop();
    }
    let stop = stop_signal().map_err(|error| LinkError::Ended { reason: error.to_string() })?;
    // Not in a runtime: the store's clients block.
    let result: Result<(), ServeError> = loop {
        match stop.recv_timeout(TICK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break Ok(()),
        }
        if let Err(error) = server.tick(clock::moment()) {
            break Err(error);
        }
    };
    // If the collector has stopped, its own error explains more than the loop's.
    server.stop()?;
    result
}

/// Receives a message at SIGTERM or SIGINT, which a thread of its own waits for.
fn stop_signal() -> std::io::Result<Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut term, mut int) = {
        let _context = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let (sender, stop) = sync_channel(1);
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        });
        // The server may have ended already.
        let _ = sender.send(());
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(stop)
}
