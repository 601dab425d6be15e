//! Packets → bidirectional flow records (IPFIX terms of RFC 7011, biflows of RFC 5103).

#[cfg(feature = "alloc")]
mod entry;
#[cfg(feature = "alloc")]
pub mod fragments;
#[cfg(feature = "alloc")]
mod initiators;
#[cfg(feature = "alloc")]
pub mod key;
#[cfg(feature = "alloc")]
pub mod lru;
pub mod record;
#[cfg(feature = "alloc")]
pub mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
