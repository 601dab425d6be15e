//! Arbitrary bytes as an MQTT client → the embedded broker, which closes that connection at worst and still serves others.
//!
//! Byte 0 of an input: odd if a valid CONNECT precedes the rest.

use super::Target;
use lapwing_collect::broker::{self, BrokerLimits};
use lapwing_collect::{Counts, LinkError, Outlet};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Patience for the end of a connection whose client has stopped sending.
const PATIENCE: Duration = Duration::from_millis(100);
/// Patience of the well-behaved client.
const TIMEOUT: Duration = Duration::from_secs(30);
/// MQTT 5, clean start, keep alive of 60 s, client identifier `fuzz`.
const CONNECT: &[u8] = b"\x10\x11\0\x04MQTT\x05\x02\0\x3c\0\0\x04fuzz";
const PING: &[u8] = b"\xc0\0";
const PING_ANSWER: &[u8] = b"\xd0\0";

/// A running broker, and a thread that reads what it delivers.
pub(super) struct Broker {
    address: SocketAddr,
    is_stopping: Arc<AtomicBool>,
    reader: JoinHandle<Result<(), LinkError>>,
    outlet: Box<dyn Outlet>,
}

impl Broker {
    pub(super) fn start() -> Result<Self, String> {
        let limits = BrokerLimits::default();
        let started = broker::start((Ipv4Addr::LOCALHOST, 0).into(), limits, Arc::new(Counts::default()));
        let (link, address) = started.map_err(|error| error.to_string())?;
        let (mut inlet, outlet) = (link.ends.inlet, link.ends.outlet);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_stopping);
        let reader = thread::spawn(move || {
            // Keep the link's other end open, as the collector does.
            let _releases = link.releases;
            while !stop.load(Ordering::Relaxed) {
                inlet.next(PATIENCE)?;
            }
            Ok(())
        });
        Ok(Self { address, is_stopping, reader, outlet })
    }

    fn connect(&self, patience: Duration) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Connects and pings as an agent does.
    fn ping(&self) -> io::Result<()> {
        let mut stream = self.connect(TIMEOUT)?;
        stream.write_all(CONNECT)?;
        let mut head = [0; 2];
        stream.read_exact(&mut head)?;
        if head[0] != 0x20 || head[1] >= 0x80 {
            return Err(io::Error::other(format!("expected CONNACK, found {head:02x?}")));
        }
        let mut rest = vec![0; usize::from(head[1])];
        stream.read_exact(&mut rest)?;
        stream.write_all(PING)?;
        stream.read_exact(&mut head)?;
        let is_answered = rest.get(1) == Some(&0) && head == PING_ANSWER;
        if is_answered { Ok(()) } else { Err(io::Error::other(format!("{rest:02x?}, then {head:02x?}"))) }
    }
}

impl Target for Broker {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = super::corpus("broker");
        let packets: [&[u8]; 15] = [
            // CONNACK and UNSUBACK as first packets, and a topic that begins with a letter of two bytes.
            b"\0\x20\x01\0",
            b"\0\xb0\x01\0",
            b"\x01\x30\x06\0\x02\xc3\xa9\0x",
            b"\0\x10\x11\0\x04MQTT\x05\x02\0\x3c\0\0\x04gw-1",
            b"\0\x10\x23\0\x04MQTT\x05\x06\0\x3c\0\0\x04gw-1\0\0\x09lapwing/v\0\x01x",
            b"\x01\x82\x1b\0\x01\0\0\x15lapwing/v1/agent/+/ac\x01",
            b"\x01\x82\x12\0\x02\0\0\x0c$share/g/a/#\x01",
            b"\x01\x82\x07\0\x03\0\0\x01#\x01",
            b"\x01\xa2\x06\0\x04\0\0\x01#",
            b"\x01\x32\x21\0\x1alapwing/v1/agent/fuzz/aler\0\x05\0x\x01\x02",
            b"\x01\x31\x22\0\x1clapwing/v1/agent/fuzz/status\0xyz",
            b"\x01\x34\x09\0\x02a/\0\x06\0xy",
            b"\x01\x40\x02\0\x01\x50\x02\0\x02\x62\x02\0\x03\x70\x02\0\x04",
            b"\x01\xc0\0\xe0\0",
            b"\x01\xf0\x02\x18\0",
        ];
        seeds.extend(packets.iter().map(|packet| packet.to_vec()));
        seeds
    }

    fn pieces(&self) -> &'static [&'static [u8]] {
        &[
            b"\xff\xff\xff\x7f",
            b"\xff\xff\xff\xff",
            b"\x80\x80\x80\x01",
            b"\0\0",
            b"\xff\xff",
            b"+",
            b"#",
            b"$share/",
            b"/",
            b"\0\x04MQTT",
            b"\x22\0\x01",
            b"\x23\xff\xff",
            b"\x21\xff\xff",
            b"\x11\xff\xff\xff\xff",
            b"\x02\0\0\0\x01",
            b"\x26\0\x01a\0\x01b",
            b"\x0b\x7f",
            b"\x10",
            b"\x30",
            b"\x3d",
            b"\x82",
            b"\xa2",
            b"\xc0\0",
            b"\xe0\0",
            b"\xf0",
            b"lapwing/v1/agent/fuzz/alert",
            b"lapwing-collector",
            b"lapwing-releases",
            b"\xc3\xa9",
            b"\xed\xa0\x80",
        ]
    }

    fn run(&mut self, input: &[u8]) -> Result<(), String> {
        let Some((first, rest)) = input.split_first() else { return Ok(()) };
        // Ports that are waiting for late packets may be all in use; the check connects with patience.
        let Ok(mut stream) = self.connect(PATIENCE) else { return Ok(()) };
        let connect = if first % 2 == 1 { CONNECT } else { &[] };
        // The broker may close the connection before all is written.
        let _ = stream.write_all(&[connect, rest].concat());
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.take(1 << 20).read_to_end(&mut answer);
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        if self.reader.is_finished() {
            return Err("the broker's link has stopped".into());
        }
        let published = self.outlet.publish("lapwing/v1/agent/fuzz/ack", vec![1], false);
        match published {
            Ok(()) | Err(LinkError::Full) => {}
            Err(error) => return Err(error.to_string()),
        }
        self.ping().map_err(|error| format!("a well-behaved client: {error}"))
    }

    fn stop(self: Box<Self>) -> Result<(), String> {
        self.is_stopping.store(true, Ordering::Relaxed);
        let result = self.reader.join().map_err(|_| "the reader panicked")?;
        result.map_err(|error| error.to_string())
    }
}
