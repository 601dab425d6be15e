//! Roles of a process and the leases that it holds.

use serde::Serialize;

/// What a process of the trainer does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProcessState {
    /// Its roles: `collect`, `web`, `train` or `publish`.
    pub roles: Vec<&'static str>,
    /// Leases of those of its roles that only one process at a time may carry out.
    pub leases: Vec<LeaseState>,
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
}
