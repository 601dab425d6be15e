//! What each subcommand does.

pub mod counted;
pub mod inspect;
pub mod live;
pub mod meter;
pub mod validate;
