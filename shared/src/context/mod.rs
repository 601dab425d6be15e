//! What a host has been doing lately: a scan or a spoofed flood is a crowd of dull flows, and only this shows it.
//!
//! A bounded table keeps damped counters and distinct-count sketches for the hosts of the site. Flow starts and flow
//! records feed it; feature vectors read it.

pub mod damped;
#[cfg(feature = "alloc")]
pub mod hosts;
pub mod local;
pub mod sketch;
