//! Data of one host.

use crate::error::StoreError;
use crate::host_data::{HostData, HostFilter};

/// What the store has of a host. Feature rows name no host.
pub trait Hosts {
    /// Counts it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn host_data(&self, filter: &HostFilter) -> Result<HostData, StoreError>;

    /// Removes its episodes with their alert messages and labels, and its address from the peers of other alerts; returns
    /// what was removed. The audit log gets an entry that does not name the host.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn forget_host(&self, filter: &HostFilter, who: &str, now_s: u64) -> Result<HostData, StoreError>;
}
