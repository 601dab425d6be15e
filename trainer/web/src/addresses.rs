//! Connections by address, so that one host cannot use all of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections of each address; as many entries as there are connections.
pub(crate) struct Addresses {
    used: Mutex<HashMap<IpAddr, usize>>,
    limit: usize,
}

/// One connection of an address, free again when dropped.
pub(crate) struct AddressPlace {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: Mutex::default(), limit })
    }

    /// A place for a connection; `None` if the address, or its /64 network of IPv6, has none left.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let address = network(address);
        let mut used = self.used();
        let count = used.entry(address).or_default();
        // A proxy on this machine has one address for all its users.
        if *count >= self.limit && !address.is_loopback() {
            return None;
        }
        *count += 1;
        drop(used);
        Some(AddressPlace { addresses: Arc::clone(self), address })
    }

    fn used(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address, or the /64 network of an IPv6 address, which one host may use as a whole.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other,
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut used = self.addresses.used();
        if let Some(count) = used.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                used.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_use_the_connections_of_others() {
        let addresses = Addresses::new(2);
        let take = |address: &str| addresses.take(address.parse().unwrap());
        let held = [take("192.0.2.1"), take("::ffff:192.0.2.1"), take("2001:db8::1"), take("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        assert!(take("192.0.2.1").is_none() && take("2001:db8::3").is_none());
        assert!(take("192.0.2.2").is_some() && take("2001:db8:0:1::1").is_some());
        let local: Vec<_> = (0..100).filter_map(|_| take("127.0.0.1")).collect();
        assert_eq!(local.len(), 100);
        drop((held, local));
        assert!(addresses.used().is_empty());
        assert!(take("192.0.2.1").is_some());
    }
}
