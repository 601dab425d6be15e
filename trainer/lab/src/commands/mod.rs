//! What the subcommands do.

pub(crate) mod compare;
pub(crate) mod evaluate;
mod explore;
pub(crate) mod import;
