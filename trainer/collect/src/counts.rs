//! Events in the collector → counters that any thread can read.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($(#[doc = $text:literal] $name:ident,)+) => {
        /// Live counters.
        #[derive(Debug, Default)]
        pub struct Counts {
            $(#[doc = $text] pub $name: Count,)+
        }

        /// Values of [`Counts`] at one time.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub struct Snapshot {
            $(#[doc = $text] pub $name: u64,)+
        }

        impl Counts {
            /// Values now; not all of the same moment.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)+ }
            }
        }

        impl Snapshot {
            /// Name, description and value of each counter.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $text.trim_ascii(), self.$name),)+].into_iter()
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
    /// Duplicates of stored messages.
    duplicates,
    /// Messages of agents beyond the store's limit, not stored.
    refused,
    /// Rejected publications: not on an agent's topic.
    bad_topic,
    /// Rejected publications: payload does not decode.
    bad_message,
    /// Rejected publications: message type does not match the topic, or number 0 on a type with acknowledgement.
    bad_kind,
    /// Publications lost before they were read: dropped by the embedded broker, or QoS 0 with a full queue.
    overrun,
    /// Successful commits.
    commits,
    /// Failed commits.
    commit_failures,
    /// Acknowledgements sent.
    acknowledgements,
    /// Connections to an outside broker, including reconnections.
    connections,
    /// Messages above the rate of their agent, not stored and not acknowledged.
    throttled,
    /// Messages that the store rejected: number too far ahead, unknown schema, or no rows.
    rejected,
    /// Duplicates of alerts, among the duplicates. Many of them: another client sends under the agent's name.
    duplicate_alerts,
    /// Acknowledgements that another trainer sent to agents at the outside broker.
    foreign_acknowledgements,
    /// Times that an outside broker did not keep the current release after it was published.
    releases_missing,
    /// Connections that the embedded broker closed: no place in total or for the address.
    connections_refused,
    /// Connections closed because they sent no CONNECT, in time or before newer connections needed their place.
    idle_closed,
    /// Connections closed because of an illegal packet.
    illegal,
    /// Connections closed because another one had the same client identifier.
    takeovers,
    /// Publications refused: on a topic of another client, or retained ones that are too large or no status.
    publications_refused,
    /// Filters refused by a limit.
    filters_refused,
    /// Retained statuses dropped by a limit.
    retained_dropped,
    /// Publications not delivered, because the subscriber is too slow or accepts no packet of this size.
    undelivered,
    /// Failed accepts, most often because no file descriptor was free.
    accept_failures,
    /// Times that an agent changed the broker.
    agent_moves,
    /// TLS handshakes that failed: no certificate, an expired one, or one of another authority.
    handshakes_failed,
    /// Connections refused because of their identity: revoked, not enrolled, with a replaced key, or claimed without certificate.
    identities_refused,
    /// Connections closed because their agent was revoked or replaced, or its certificates ended.
    sessions_ended,
    /// Connections refused because their identity begins too many.
    connects_limited,
    /// Filters refused because they match topics of others.
    subscriptions_refused,
    /// Pauses of clients above the rate of their identity or address.
    clients_delayed,
    /// Statuses that an agent left behind at another broker, ignored.
    stale_statuses,
    /// Failed attempts to renew the certificate of the embedded broker.
    renewals_failed,
    /// Failed readings of the identities; the last known ones remained in use.
    roster_failures,
    /// Messages of revoked agents, not stored and not acknowledged.
    revoked,
    /// Messages without a seal of agents that have a key, not stored and not acknowledged.
    unsealed,
    /// Messages with a wrong seal, not stored and not acknowledged. Another client or the broker sends in an agent's name.
    forged,
    /// Requests of agents for their next certificates.
    renewal_requests,
    /// Requests for certificates that were rejected: no valid proof, no accepted identity, or soon after the last one.
    renewal_rejections,
    /// Certificates sent to running agents.
    renewals,
    /// Decisions about open campaigns, every ten seconds each.
    campaigns_stepped,
    /// Rollouts published.
    rollouts_published,
    /// Assignments of single agents published.
    assignments_published,
}

impl Snapshot {
    /// True if a client did something that agents in order do not do.
    pub fn has_abuse(&self) -> bool {
        let abuse = [
            self.throttled,
            self.rejected,
            self.takeovers,
            self.illegal,
            self.connections_refused,
            self.idle_closed,
            self.publications_refused,
            self.filters_refused,
            self.handshakes_failed,
            self.identities_refused,
            self.connects_limited,
            self.subscriptions_refused,
            self.clients_delayed,
            self.retained_dropped,
            self.undelivered,
            self.accept_failures,
            self.foreign_acknowledgements,
            self.releases_missing,
            self.revoked,
            self.unsealed,
            self.forged,
        ];
        abuse.iter().any(|count| *count > 0)
    }
}

/// A counter that several threads may add to.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Value now; other counters may be older or newer.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
