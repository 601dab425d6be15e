//! Start, watchdog and stop → notifications for systemd, sd_notify(3). Without a notification socket, as under procd,
//! nothing is sent.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The connection to the service manager.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Interval of watchdog messages, milliseconds.
    interval_ms: Option<u64>,
    sent_ms: u64,
}

impl Notifier {
    /// `socket` is NOTIFY_SOCKET, `watchdog_us` WATCHDOG_USEC. Opens the socket now, before the sandbox is entered.
    pub(crate) fn new(socket: Option<&str>, watchdog_us: Option<&str>) -> Self {
        let address = socket.and_then(|name| match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(name).ok(),
        });
        let socket = address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address)));
        let interval_us = watchdog_us.and_then(|text| text.parse::<u64>().ok()).filter(|span| *span > 0);
        Self { socket, interval_ms: interval_us.map(|span| span / 3000), sent_ms: 0 }
    }

    pub(crate) fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok();
        Self::new(variable("NOTIFY_SOCKET").as_deref(), variable("WATCHDOG_USEC").as_deref())
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            // If the manager has gone, nothing depends on the message.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }

    /// Reports that capture has started.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// Sends a watchdog message if one is due; call from the thread that the watchdog is for.
    pub(crate) fn alive(&mut self, now_ms: u64) {
        if let Some(interval_ms) = self.interval_ms
            && now_ms.saturating_sub(self.sent_ms) >= interval_ms
        {
            self.sent_ms = now_ms;
            self.send("WATCHDOG=1");
        }
    }

    /// Reports an orderly stop.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_watchdog_and_stop_are_reported() {
        let path = std::env::temp_dir().join(format!("lapwing-notify-{}", std::process::id()));
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut notifier = Notifier::new(path.to_str(), Some("30000000"));
        notifier.ready("capturing from br-lan");
        for now_ms in [1, 10_000, 10_001, 20_000] {
            notifier.alive(now_ms);
        }
        notifier.stopping();
        manager.set_nonblocking(true).unwrap();
        let mut received = Vec::new();
        let mut buffer = [0; 256];
        while let Ok(octets) = manager.recv(&mut buffer) {
            received.push(String::from_utf8_lossy(&buffer[..octets]).into_owned());
        }
        assert_eq!(received, ["READY=1\nSTATUS=capturing from br-lan", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]);
        std::fs::remove_file(path).unwrap();
        Notifier::new(Some("/nowhere"), None).ready("not sent");
    }
}
