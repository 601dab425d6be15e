//! What the collector counts, readable from any thread.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$text:meta])* $name:ident,)+) => {
        /// Live counters.
        #[derive(Debug, Default)]
        pub struct Counts {
            $($(#[$text])* pub $name: Count,)+
        }

        /// Their values at one time.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub struct Snapshot {
            $($(#[$text])* pub $name: u64,)+
        }

        impl Counts {
            /// Reads all of them.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)+ }
            }
        }
    };
}

counts! {
    /// Publications read from the broker.
    received,
    /// Messages stored.
    stored,
    /// Feature rows stored.
    sample_rows,
    /// Messages that were stored before.
    duplicates,
    /// Messages of agents beyond the store's limit.
    refused,
    /// Publications refused: not on an agent's topic.
    bad_topic,
    /// Publications refused: bytes that are no message.
    bad_message,
    /// Publications refused: another kind of message than the topic says, or number 0 on a kind that is acknowledged.
    bad_kind,
    /// Publications lost on the way in: dropped by the embedded broker before they were read, or of quality 0 and
    /// without room in the queue.
    overrun,
    /// Transactions.
    commits,
    /// Failed tries to commit.
    commit_failures,
    /// Acknowledgements sent.
    acknowledgements,
    /// Connections made to an outside broker.
    connections,
}

/// One counter.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
