//! Facts about agents, groups, episodes, jobs and releases → decisions; plain types and rules.
//!
//! Nothing here reads a clock, a file, a socket or a database: the time and the facts are arguments. So every rule is
//! tested for any time and any order of events, and every store and every process applies the same ones.
#![forbid(unsafe_code)]

mod actor;
mod agent;
mod assignment;
mod audit;
mod audit_chain;
mod audit_export;
mod broker;
pub mod campaign;
mod episode;
mod group;
mod identity;
pub mod incident;
mod renewal;
mod job;
mod now;
mod process;
mod release;
pub mod simulate;
mod text;

pub use actor::{Way, acting, is_same_person, person_of};
pub use agent::{AgentState, SILENT_S};
pub use assignment::{AssignedSettings, AssignmentChange, StoredAssignment, channel_name, parse_channel};
pub use audit::{AUDIT_ENTRIES, AuditAction, AuditEntry, AuditHead, AuditRecord, SERVE, recorded_name};
pub use audit_chain::{AuditChain, AuditCheck};
pub use audit_export::{EXPORT_LINE_BYTES, export_line, parse_export_line};
pub use broker::BrokerLink;
pub use episode::{Classification, Episode, EpisodeRecord, Label, MessageKey, UNKNOWN_CLASS};
pub use group::{Cause, Demand, Schedule, Training};
pub use identity::{
    Claim, Decision, EnrolmentToken, Identity, IdentityCounts, IdentityState, Known, TokenTerms, decide,
};
pub use job::{Job, JobState, not_served};
pub use now::Now;
pub use process::{GroupProblem, LeaseState, ProcessState};
pub use release::{HeldRelease, HeldState, Release, next_version};
pub use renewal::{Renewal, RenewalClaim, decide_renewal};
pub use text::{LABEL_CHARS, LABEL_RULE, indented, is_disruptive, one_line, parse_label};
