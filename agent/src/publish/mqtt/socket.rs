//! Address of the broker ↔ packets, over TCP or TLS.
//!
//! Memory is bounded whatever the broker sends: one packet is read at a time, into a buffer of at most the size that
//! CONNECT allows, and the next only when the session has room for it.

use super::decode::{self, ConnAck, Goodbye, Incoming, ProtocolError};
use super::encode::{self, Connect};
use super::reason::is_refusal;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Connection timeout: longer than the resolver's (musl's is five seconds), so that the log shows the resolver's error.
const CONNECT: Duration = Duration::from_secs(15);
/// Time to send the DISCONNECT that answers a protocol error.
const GOODBYE: Duration = Duration::from_secs(1);
/// Bytes of one read.
const READ_BYTES: usize = 4096;

/// How to connect.
pub(crate) struct Dial {
    /// `HOST:PORT`.
    pub(crate) address: String,
    /// Host that the certificate must name, and the configuration.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<(String, std::sync::Arc<rustls::ClientConfig>)>,
    /// The first packet.
    pub(crate) connect: Connect,
}

/// Why a connection ended, or was not made.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The address cannot be resolved or connected to.
    Unreachable(io::Error),
    /// TLS failed.
    #[cfg(feature = "tls")]
    Tls(io::Error),
    /// Not connected in time.
    Timeout,
    /// The broker refused the connection.
    Refused(Goodbye),
    /// The broker ended it with a DISCONNECT packet.
    Disconnected(Goodbye),
    /// The broker closed it.
    Closed,
    /// The connection failed.
    Failed(io::Error),
    /// The broker violated the protocol.
    Protocol(ProtocolError),
    /// The broker sent nothing for this time, milliseconds.
    Silent(u64),
    /// The broker did not answer a request for this time, milliseconds.
    Unanswered(u64),
    /// The broker accepts no packets: this number of actions waits.
    Unread(usize),
    /// This agent ended it, to use another certificate.
    NewIdentity,
}

/// A packet, or the end of the connection.
pub(crate) type Event = Result<Incoming, Ended>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects, then moves packets until the connection ends; the last event is the reason. `answers` is a sender to
/// `requests`, for acknowledgements.
pub(crate) async fn run(
    dial: Dial,
    requests: mpsc::Receiver<Vec<u8>>,
    answers: mpsc::Sender<Vec<u8>>,
    events: mpsc::Sender<Event>,
) {
    let ended = match tokio::time::timeout(CONNECT, open(&dial)).await {
        Err(_) => Ended::Timeout,
        Ok(Err(ended)) => ended,
        Ok(Ok((ack, open))) => {
            let _ = events.send(Ok(Incoming::ConnAck(ack))).await;
            open.converse(requests, &answers, &events).await
        }
    };
    // Without a receiver nothing needs the reason.
    let _ = events.send(Err(ended)).await;
}

/// A connection that the broker accepted.
struct Open {
    stream: Box<dyn Stream>,
    /// Bytes that were read and not decoded yet.
    buffer: Vec<u8>,
    /// Largest packet, bytes.
    limit: usize,
}

async fn open(dial: &Dial) -> Result<(ConnAck, Open), Ended> {
    let stream = TcpStream::connect(&dial.address).await.map_err(Ended::Unreachable)?;
    let mut stream = secured(stream, dial).await?;
    let written = stream.write_all(&encode::connect(&dial.connect)).await;
    written.and(stream.flush().await).map_err(Ended::Failed)?;
    let (mut buffer, limit) = (Vec::new(), dial.connect.packet_bytes as usize);
    match read_packet(&mut stream, &mut buffer, limit).await? {
        Incoming::ConnAck(ack) if ack.goodbye.reason == 0 => Ok((ack, Open { stream, buffer, limit })),
        Incoming::ConnAck(ConnAck { goodbye, .. }) => Err(Ended::Refused(goodbye)),
        _ => Err(Ended::Protocol(ProtocolError::Unexpected("before the answer to CONNECT"))),
    }
}

#[cfg(feature = "tls")]
async fn secured(stream: TcpStream, dial: &Dial) -> Result<Box<dyn Stream>, Ended> {
    let Some((host, config)) = &dial.tls else { return Ok(Box::new(stream)) };
    let name = rustls::pki_types::ServerName::try_from(host.clone());
    let name = name.map_err(|error| Ended::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::clone(config));
    Ok(Box::new(connector.connect(name, stream).await.map_err(Ended::Tls)?))
}

#[cfg(not(feature = "tls"))]
async fn secured(stream: TcpStream, _: &Dial) -> Result<Box<dyn Stream>, Ended> {
    Ok(Box::new(stream))
}

impl Open {
    async fn converse(
        mut self,
        mut requests: mpsc::Receiver<Vec<u8>>,
        answers: &mpsc::Sender<Vec<u8>>,
        events: &mpsc::Sender<Event>,
    ) -> Ended {
        let (mut read, mut write) = tokio::io::split(self.stream);
        let reading = async {
            loop {
                match read_packet(&mut read, &mut self.buffer, self.limit).await {
                    Ok(packet) => match pass_on(packet, answers, events).await {
                        Ok(()) => {}
                        Err(ended) => return ended,
                    },
                    Err(ended) => return ended,
                }
            }
        };
        let writing = async {
            while let Some(packet) = requests.recv().await {
                if let Err(error) = write.write_all(&packet).await.and(write.flush().await) {
                    return Ended::Failed(error);
                }
            }
            Ended::Closed
        };
        let ended = tokio::select! { ended = reading => ended, ended = writing => ended };
        if let Ended::Protocol(error) = &ended {
            let packet = encode::disconnect(error.reason());
            let _ =
                tokio::time::timeout(GOODBYE, async { write.write_all(&packet).await.and(write.flush().await) }).await;
        }
        ended
    }
}

/// Acknowledges a message at QoS 1, and gives every packet to the session.
async fn pass_on(packet: Incoming, answers: &mpsc::Sender<Vec<u8>>, events: &mpsc::Sender<Event>) -> Result<(), Ended> {
    match &packet {
        Incoming::ConnAck(_) => return Err(Ended::Protocol(ProtocolError::Unexpected("a second CONNACK"))),
        Incoming::Disconnect(goodbye) => return Err(Ended::Disconnected(goodbye.clone())),
        Incoming::Publish { identifier: Some(identifier), .. } => {
            answers.send(encode::puback(*identifier)).await.map_err(|_| Ended::Closed)?;
        }
        _ => {}
    }
    events.send(Ok(packet)).await.map_err(|_| Ended::Closed)
}

async fn read_packet(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    limit: usize,
) -> Result<Incoming, Ended> {
    let mut room = [0; READ_BYTES];
    loop {
        if let Some((packet, length)) = decode::next(buffer, limit).map_err(Ended::Protocol)? {
            buffer.drain(..length);
            return Ok(packet);
        }
        match stream.read(&mut room).await {
            Ok(0) => return Err(Ended::Closed),
            Ok(count) => buffer.extend_from_slice(&room[..count]),
            // TLS without its closing message.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Ended::Closed),
            Err(error) => return Err(Ended::Failed(error)),
        }
    }
}

impl Ended {
    /// True if the broker ended a connection on its side, as it does when another client uses the same name.
    pub(crate) fn is_by_broker(&self) -> bool {
        matches!(self, Self::Closed | Self::Failed(_) | Self::Disconnected(_))
    }

    /// The reason code for which the broker refused or ended the connection.
    pub(crate) fn refusal(&self) -> Option<u8> {
        match self {
            Self::Refused(goodbye) | Self::Disconnected(goodbye) => {
                Some(goodbye.reason).filter(|code| is_refusal(*code))
            }
            _ => None,
        }
    }
}
