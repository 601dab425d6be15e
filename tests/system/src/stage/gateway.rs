//! The agent's program as a process that reads packets from a pipe → its log, line by line.

use super::{PATIENCE, capture};
use crate::demo::feed::Feed;
use lapwing_agent::disk::Folder;
use lapwing_agent::outbox::Limits;
use lapwing_agent::outbox::journal::Journal;
use lapwing_capture::{FileSource, PacketSource};
use lapwing_common::clock;
use lapwing_shared::messages::{Body, Message};
use lapwing_shared::units::{NANOS_PER_SECOND, Nanos};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Capture time between two plays of the same capture.
const BETWEEN_PLAYS: Nanos = Nanos::from_secs(3600);
/// The same for [`Gateway::play_at`], seconds: flows end meanwhile.
const BETWEEN_FLOWS_S: u64 = 300;

/// A running agent; killed when dropped.
pub struct Gateway {
    child: Child,
    feed: Feed,
    log: Receiver<String>,
    played: u64,
    /// Second of the last packet that [`Gateway::play_at`] played.
    last_s: u64,
}

impl Gateway {
    /// Starts the agent's subcommand `run` on a pipe; `program` is the agent, or a command that ends in it.
    pub fn start(mut program: Command, options: &[&str]) -> Self {
        program.args(["run", "--input", "-", "--engine", "int8", "--group", super::releases::GROUP]).args(options);
        program.env("LAPWING_LOG", "info").env("NO_COLOR", "1");
        let mut child = program.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let feed = Feed::begin(child.stdin.take().unwrap()).unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, feed, log, played: 0, last_s: 0 }
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Feeds it 250 benign flows with later times than all packets before.
    pub fn play(&mut self) {
        let later = Nanos(BETWEEN_PLAYS.0 * self.played);
        self.feed.play(&capture("demo.pcap"), later).unwrap();
        self.played += 1;
    }

    /// The same flows as [`Gateway::play`], from this second since the epoch on, or after all that it has played so. Do not use
    /// both on one agent.
    pub fn play_at(&mut self, start_s: u64) {
        let path = capture("demo.pcap");
        let first_s =
            FileSource::open(&path).unwrap().next_frame().unwrap().unwrap().timestamp.as_nanos() / NANOS_PER_SECOND;
        let start_s = start_s.max(self.last_s + BETWEEN_FLOWS_S);
        let played = self.feed.play(&path, Nanos::from_secs(start_s - first_s)).unwrap();
        self.last_s = played.last.as_nanos() / NANOS_PER_SECOND;
    }

    /// Waits for a line of its log that contains `text`.
    ///
    /// # Panics
    /// After [`PATIENCE`] without a line, with the lines read so far.
    pub fn until_logged(&self, text: &str) -> String {
        let mut lines = Vec::new();
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else { panic!("no {text:?} in the log: {lines:#?}") };
            if line.contains(text) {
                return line;
            }
            lines.push(line);
        }
    }

    /// Plays packets until a line of its log contains `text`: rows of the first ones may be scored before a release that was
    /// just put on trial.
    ///
    /// # Panics
    /// When [`PATIENCE`] has passed without such a line.
    pub fn play_until_logged(&mut self, text: &str) -> String {
        let deadline = clock::after(PATIENCE);
        loop {
            self.play();
            while let Ok(line) = self.log.recv_timeout(Duration::from_secs(1)) {
                if line.contains(text) {
                    return line;
                }
            }
            assert!(clock::monotonic() < deadline, "no {text:?} in the log");
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes its input and waits until it exits; returns the rest of its log.
    ///
    /// # Panics
    /// When it fails.
    pub fn end(self) -> Vec<String> {
        let Self { mut child, feed, log, .. } = self;
        drop(feed);
        let status = child.wait().unwrap();
        let lines: Vec<String> = log.iter().collect();
        assert!(status.success(), "{status}: {lines:#?}");
        lines
    }
}

/// Run and number of every alert in the outbox journal of a state folder.
pub fn journal(state: &Path) -> BTreeSet<(u64, u64)> {
    let (_, payloads) = Journal::open(Folder::open(state).unwrap(), Limits::default().bytes);
    let messages = payloads.iter().filter_map(|payload| Message::decode(payload).ok());
    let alerts = messages.filter(|message| matches!(message.body, Body::Alert(_)));
    alerts.map(|message| (message.run, message.number)).collect()
}
