//! Several interfaces → one stream of frames, ordered by time among the frames available.

use crate::counters::Counters;
use crate::error::LiveError;
use crate::filter::Filter;
use crate::interface::{Interface, InterfaceReport};
use crate::steady::{Reading, Steady};
use crate::sys::{RETIRE_MS, RingSize, wait};
use crate::{INTERFACES, RING_BYTES};
use lapwing_capture::{CaptureError, Frame, PacketSource, Truncation};
use lapwing_shared::packet::RefusalCounts;
use lapwing_shared::units::{Nanos, Timestamp};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const BLOCK_BYTES: u32 = 64 * 1024;
/// Longest wait for packets before checking interfaces, clocks and the stop flag, milliseconds.
const WAIT_MS: i32 = 200;
/// Interval for checking interfaces and counters, nanoseconds.
const WATCH_INTERVAL: u64 = 1_000_000_000;
/// How far the reported time lags behind the clock without packets: a block that is not full may still hold a packet.
const QUIET_DELAY: Nanos = Nanos::from_millis(RETIRE_MS as u64 * 10);

/// Options of live capture.
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct LiveOptions {
    /// Interface names, 1 to [`INTERFACES`]. The source waits for interfaces that do not exist yet.
    pub interfaces: Vec<String>,
    /// Also capture frames addressed to other machines.
    pub promiscuous: bool,
    /// Size of each interface's ring, bytes; rounded up to a multiple of 64 KiB.
    pub ring_bytes: usize,
    /// Exclusions and snaplen, applied by the kernel.
    pub filter: Filter,
    pub clock: fn() -> Reading,
    /// Earliest start of steady time, used if the wall clock is not set.
    pub floor: Timestamp,
}

/// State for other threads, updated once a second.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Mutex<SharedState>>);

#[derive(Debug, Default)]
struct SharedState {
    interfaces: Vec<InterfaceReport>,
    to_wall: i64,
    clock_steps: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// State and counters of all interfaces.
    pub fn interfaces(&self) -> Vec<InterfaceReport> {
        self.lock().interfaces.clone()
    }

    /// Nanoseconds to add to a frame's time to get wall clock time, and how often the wall clock was set during capture.
    pub fn clock(&self) -> (i64, u64) {
        let state = self.lock();
        (state.to_wall, state.clock_steps)
    }
}

/// Source of live frames.
pub struct LiveSource {
    interfaces: Vec<Interface>,
    waiting: Vec<libc::pollfd>,
    counters: Counters,
    steady: Steady,
    clock: fn() -> Reading,
    watched: u64,
    quiet: Option<Timestamp>,
    stopped: Arc<AtomicBool>,
    ended: bool,
    refusals: RefusalCounts,
    shared: Shared,
}

impl LiveSource {
    /// Opens a socket for each interface; capture needs no privilege afterwards. Setting `stopped` ends the stream.
    ///
    /// # Errors
    /// [`LiveError`]. A missing interface is not an error.
    pub fn open(options: &LiveOptions, stopped: Arc<AtomicBool>) -> Result<Self, LiveError> {
        let names = &options.interfaces;
        if !(1..=INTERFACES).contains(&names.len()) {
            return Err(LiveError::Interfaces(names.len()));
        }
        if !RING_BYTES.contains(&options.ring_bytes) {
            return Err(LiveError::Ring { bytes: options.ring_bytes });
        }
        let blocks = options.ring_bytes.div_ceil(BLOCK_BYTES as usize) as u32;
        let ring = RingSize { block_bytes: BLOCK_BYTES, blocks };
        let open = |name: &String| Interface::open(name, ring, options.promiscuous, &options.filter);
        let interfaces = names.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let none = libc::pollfd { fd: -1, events: 0, revents: 0 };
        let now = (options.clock)();
        let mut source = Self {
            waiting: vec![none; interfaces.len()],
            interfaces,
            counters: Counters::open().map_err(LiveError::Counters)?,
            steady: Steady::new(now, options.floor),
            clock: options.clock,
            watched: 0,
            quiet: None,
            stopped,
            ended: false,
            refusals: RefusalCounts::default(),
            shared: Shared::default(),
        };
        source.shared.lock().interfaces = source.interfaces.iter().map(|one| one.report.clone()).collect();
        source.watch(now.monotonic);
        Ok(source)
    }

    /// State for other threads.
    pub fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Checks the stop flag, the clocks and, once a second, interfaces and counters. Allocates only if an interface is
    /// bound again.
    fn check(&mut self) {
        self.ended |= self.stopped.load(Ordering::Relaxed);
        let now = (self.clock)();
        if let Some(step) = self.steady.update(now) {
            tracing::warn!(step_s = step / 1_000_000_000, "wall clock was set; flow times continue without the step");
        }
        if now.monotonic.saturating_sub(self.watched) >= WATCH_INTERVAL {
            self.watch(now.monotonic);
        }
    }

    fn watch(&mut self, monotonic: u64) {
        self.watched = monotonic;
        self.counters.refresh();
        for interface in &mut self.interfaces {
            interface.watch(monotonic);
            interface.count(&self.counters);
        }
        let mut shared = self.shared.lock();
        (shared.to_wall, shared.clock_steps) = (self.steady.to_wall(), self.steady.steps());
        for (report, interface) in shared.interfaces.iter_mut().zip(&self.interfaces) {
            // Keeps the allocated name.
            let name = std::mem::take(&mut report.name);
            *report = InterfaceReport { name, ..without_name(&interface.report) };
        }
    }

    /// Index of the interface with the oldest next frame.
    #[inline]
    fn earliest(&mut self) -> Option<usize> {
        if let [only] = &mut *self.interfaces {
            if only.next.is_none() && only.find(&mut self.refusals) {
                self.check();
            }
            return (!self.ended).then_some(0).filter(|_| self.interfaces[0].next.is_some());
        }
        let mut started = false;
        for interface in &mut self.interfaces {
            if interface.next.is_none() {
                started |= interface.find(&mut self.refusals);
            }
        }
        if started {
            self.check();
        }
        if self.ended {
            return None;
        }
        let due = self.interfaces.iter().enumerate().filter_map(|(index, one)| Some((one.due()?, index)));
        due.min().map(|(_, index)| index)
    }
}

fn without_name(report: &InterfaceReport) -> InterfaceReport {
    InterfaceReport { name: String::new(), ..*report }
}

impl PacketSource for LiveSource {
    #[inline]
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        self.quiet = None;
        let Some(index) = self.earliest() else {
            return Ok(self.wait());
        };
        let interface = &mut self.interfaces[index];
        let Some((link, located)) = interface.take() else { return Ok(None) };
        let timestamp = self.steady.of(located.timestamp);
        let data = interface.socket.block().get(located.place..located.place + located.octets).unwrap_or_default();
        Ok(Some(Frame { link, timestamp, data, wire_octets: located.wire_octets, interface: index as u16 }))
    }

    fn refusals(&self) -> &RefusalCounts {
        &self.refusals
    }

    fn truncation(&self) -> Option<Truncation> {
        None
    }

    fn quiet_until(&self) -> Option<Timestamp> {
        self.quiet
    }
}

impl LiveSource {
    /// Waits for packets, at most [`WAIT_MS`]. Never returns a frame: the caller asks again unless the stream has ended.
    fn wait(&mut self) -> Option<Frame<'static>> {
        self.ended |= self.stopped.load(Ordering::Relaxed);
        if self.ended {
            return None;
        }
        wait(self.interfaces.iter().map(|interface| &interface.socket), &mut self.waiting, WAIT_MS);
        let failed = self.waiting.iter().any(|place| place.revents & !libc::POLLIN != 0);
        if failed {
            self.watched = 0;
        }
        self.check();
        let late = self.steady.now().as_nanos().saturating_sub(QUIET_DELAY.0);
        self.quiet = Some(Timestamp::from_nanos(late));
        None
    }
}
