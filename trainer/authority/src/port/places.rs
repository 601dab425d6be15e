//! Open connections by address → whether an address may have another one, so that one host cannot take all of them.

use super::attempts::site;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Concurrent connections of an address, or IPv6 network of 64 bits.
pub(super) const OF_ADDRESS: usize = 16;

/// Connections by address; as many as the port has at most.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// Place of a connection, until drop.
pub(super) struct Place {
    places: Places,
    site: IpAddr,
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection of this address; `None` if it has as many as it may.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let site = site(address);
        let mut open = self.lock();
        let count = open.entry(site).or_default();
        if *count >= OF_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), site })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.lock();
        if let Some(count) = open.get_mut(&self.site) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.site);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_limited_number_of_places_and_gets_them_back() {
        let (places, address) = (Places::default(), |text: &str| text.parse::<IpAddr>().unwrap());
        let mut taken: Vec<Place> = (0..OF_ADDRESS).map(|_| places.take(address("2001:db8::1")).unwrap()).collect();
        assert!(places.take(address("2001:db8::2")).is_none(), "the same network");
        assert!(places.take(address("192.0.2.1")).is_some(), "another address");
        taken.pop();
        assert!(places.take(address("2001:db8::2")).is_some());
        taken.clear();
        assert!(places.lock().is_empty());
    }
}
