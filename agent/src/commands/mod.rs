//! What each subcommand does.

pub mod inspect;
pub mod meter;
pub mod validate;
