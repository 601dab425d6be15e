//! Flow starts and flow records → recent activity per host. A scan or a spoofed flood consists of inconspicuous flows;
//! only the activity of its host reveals it.
//!
//! A bounded table keeps damped counters and distinct-count sketches for the hosts of the site. Feature vectors read
//! it.

pub mod damped;
#[cfg(feature = "alloc")]
pub(crate) mod doorkeeper;
#[cfg(feature = "alloc")]
pub mod hosts;
#[cfg(feature = "alloc")]
pub mod irregular;
pub mod local;
pub mod sketch;
