//! Packets → bidirectional flow records (IPFIX terms of RFC 7011, biflows of RFC 5103).

#[cfg(feature = "alloc")]
mod entry;
pub mod fragments;
#[cfg(feature = "alloc")]
pub mod key;
#[cfg(feature = "alloc")]
pub mod lru;
pub mod record;
#[cfg(feature = "alloc")]
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
