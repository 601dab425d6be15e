//! The TLS provider of packages: TLS 1.3 with few algorithms, 170 kB smaller than ring's.

mod provider;
mod x25519;

pub(super) use provider::provider;
