//! Roles of a process, the leases that it holds, and its problems.

use serde::Serialize;

/// What a process of the trainer does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProcessState {
    /// Its roles: `collect`, `web`, `train` or `publish`.
    pub roles: Vec<&'static str>,
    /// Leases of those of its roles that only one process at a time may carry out.
    pub leases: Vec<LeaseState>,
    /// What keeps it from a part of its work; it tries again every minute.
    pub problems: Vec<GroupProblem>,
}

/// A lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LeaseState {
    /// Role to which it belongs.
    pub name: &'static str,
    /// This process holds it; otherwise another one does, or none.
    #[serde(rename = "held")]
    pub is_held: bool,
    /// Times that the store could not be asked for it, since the start of the process.
    pub failures: u64,
}

/// What keeps a process from a part of the work for one group, while it does the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GroupProblem {
    /// Role to which the work belongs.
    pub role: &'static str,
    /// Group; empty for role `enroll`, whose work is the broker's access list.
    pub group: String,
    /// What failed, and why.
    pub problem: String,
}
