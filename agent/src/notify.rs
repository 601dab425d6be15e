//! Tells a service manager that the agent is up and alive: systemd's notification socket, sd_notify(3). Without one, as
//! under procd, it does nothing: procd watches the process itself.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// A sign of life is due this often, milliseconds.
    interval_ms: Option<u64>,
    told_ms: u64,
}

impl Notifier {
    /// `socket` is NOTIFY_SOCKET, `watchdog_us` WATCHDOG_USEC. The socket is opened now, before a sandbox closes.
    pub fn new(socket: Option<&str>, watchdog_us: Option<&str>) -> Self {
        let address = socket.and_then(|name| match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(name).ok(),
        });
        let socket = address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address)));
        let interval_us = watchdog_us.and_then(|text| text.parse::<u64>().ok()).filter(|span| *span > 0);
        Self { socket, interval_ms: interval_us.map(|span| span / 3000), told_ms: 0 }
    }

    /// From the environment.
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok();
        Self::new(variable("NOTIFY_SOCKET").as_deref(), variable("WATCHDOG_USEC").as_deref())
    }

    fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            // Nobody listens: then nobody waits either.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }

    /// Packets are listened to.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// A sign of life, where one is due; call from the thread whose life matters.
    pub fn alive(&mut self, now_ms: u64) {
        if let Some(interval_ms) = self.interval_ms
            && now_ms.saturating_sub(self.told_ms) >= interval_ms
        {
            self.told_ms = now_ms;
            self.say("WATCHDOG=1");
        }
    }

    /// The agent ends in order.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_of_start_life_and_end() {
        let path = std::env::temp_dir().join(format!("lapwing-notify-{}", std::process::id()));
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut notifier = Notifier::new(path.to_str(), Some("30000000"));
        notifier.ready("watching br-lan");
        for now_ms in [1, 10_000, 10_001, 20_000] {
            notifier.alive(now_ms);
        }
        notifier.stopping();
        manager.set_nonblocking(true).unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 256];
        while let Ok(octets) = manager.recv(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..octets]).into_owned());
        }
        assert_eq!(heard, ["READY=1\nSTATUS=watching br-lan", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]);
        std::fs::remove_file(path).unwrap();
        Notifier::new(Some("/nowhere"), None).ready("nobody hears");
    }
}
