//! What each subcommand does.

#[cfg(feature = "tls")]
pub(crate) mod enroll;
#[cfg(feature = "tls")]
mod identity_thread;
pub(crate) mod limited;
pub(crate) mod inspect;
pub(crate) mod live;
pub mod meter;
pub(crate) mod response_helper;
pub(crate) mod validate;
