//! A listening socket that has so many connections at the most, none of which may be silent for ever.
//!
//! Browsers leave connections open, and whoever reaches the port can: neither may take the collector's file descriptors.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Before another try, when no connection can be taken.
const PAUSE: Duration = Duration::from_secs(1);

/// How many connections there may be, and how long each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// Connections at once; further ones wait in the system's queue.
    pub(super) connections: usize,
    /// Silence after which a connection ends; longer than any answer takes.
    pub(super) silence: Duration,
    /// Time after which a connection ends, however much it says: a word now and then keeps no place for ever.
    pub(super) life: Duration,
    /// A request's head has this long to come, from the end of the answer before.
    pub(super) head: Duration,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            connections: 128,
            silence: Duration::from_secs(60),
            life: Duration::from_secs(300),
            head: Duration::from_secs(10),
        }
    }
}

/// See the module's text.
pub(super) struct Limited {
    listener: TcpListener,
    pub(super) places: Places,
    free: Arc<Semaphore>,
}

impl Limited {
    pub(super) fn new(listener: TcpListener, places: Places) -> Self {
        Self { listener, places, free: Arc::new(Semaphore::new(places.connections)) }
    }

    /// The next connection, once there is a place for it.
    pub(super) async fn accept(&self) -> Connection {
        // The semaphore is never closed.
        let place = Arc::clone(&self.free).acquire_owned().await.ok();
        let stream = loop {
            match self.listener.accept().await {
                Ok((stream, _)) => break stream,
                // The client has gone again; or descriptors are short, and will be so for a while.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "no HTTP connection can be taken");
                    sleep(PAUSE).await;
                }
            }
        };
        let Places { silence, life, .. } = self.places;
        let end = Instant::now() + life;
        Connection { stream, silence, waiting: Box::pin(sleep(silence.min(life))), end, _place: place }
    }
}

/// One connection, which gives its place back when it ends.
pub(super) struct Connection {
    stream: TcpStream,
    silence: Duration,
    /// Until the silence is too long.
    waiting: Pin<Box<Sleep>>,
    /// It is over then, whatever comes.
    end: Instant,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Whatever moved: the silence begins anew. Nothing moved: it may be over.
    fn heard<T>(&mut self, context: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let now = Instant::now();
        if moved.is_ready() && now < self.end {
            self.waiting.as_mut().reset((now + self.silence).min(self.end));
            return moved;
        }
        let over = || Err(io::ErrorKind::TimedOut.into());
        if now >= self.end {
            return Poll::Ready(over());
        }
        self.waiting.as_mut().poll(context).map(|()| over())
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, into);
        self.heard(context, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.heard(context, moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
