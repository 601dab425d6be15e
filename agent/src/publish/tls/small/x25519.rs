//! X25519 (RFC 7748) key exchange for TLS 1.3 (RFC 8446, 4.2.8.2 and 7.4.2).
//!
//! Releases are signed on the same curve, so its arithmetic is in the program already; ring's has a table of 24 kB that
//! does not compress. Without the table a handshake takes some tenths of a millisecond more.

use crate::random::fill_random;
use curve25519_dalek::constants::X25519_BASEPOINT;
use curve25519_dalek::montgomery::MontgomeryPoint;
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};

/// The group, for a provider.
#[derive(Debug)]
pub(super) struct X25519;

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = [0; 32];
        fill_random(&mut secret).map_err(|_| Error::FailedToGetRandomBytes)?;
        Ok(Box::new(Exchange { secret, public: X25519_BASEPOINT.mul_clamped(secret).to_bytes() }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// One handshake's keys.
struct Exchange {
    secret: [u8; 32],
    public: [u8; 32],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = peer.try_into().map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = MontgomeryPoint(peer).mul_clamped(self.secret).to_bytes();
        // The result for a point of small order: the secret would be public.
        if shared == [0; 32] {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(&shared[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::ring::kx_group;

    fn bytes(hex: &str) -> [u8; 32] {
        std::array::from_fn(|place| u8::from_str_radix(&hex[place * 2..][..2], 16).unwrap())
    }

    #[test]
    fn keys_and_secret_match_rfc_7748() {
        // Section 6.1.
        let alice = bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let public = bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        let bob = bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        let secret = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(X25519_BASEPOINT.mul_clamped(alice).to_bytes(), public);
        let exchange = Box::new(Exchange { secret: alice, public });
        assert_eq!(exchange.complete(&bob).unwrap().secret_bytes(), secret);
    }

    #[test]
    fn both_ends_compute_the_same_secret_as_ring() {
        for _ in 0..8 {
            let (ours, rings) = (X25519.start().unwrap(), kx_group::X25519.start().unwrap());
            let (our_key, ring_key) = (ours.pub_key().to_vec(), rings.pub_key().to_vec());
            let (one, other) = (ours.complete(&ring_key).unwrap(), rings.complete(&our_key).unwrap());
            assert_eq!(one.secret_bytes(), other.secret_bytes());
        }
    }

    #[test]
    fn wrong_lengths_and_points_of_small_order_are_refused() {
        let mut order_8 = bytes("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
        for wrong in [&[][..], &[9; 31], &[9; 33], &[0; 32], &order_8] {
            assert!(X25519.start().unwrap().complete(wrong).is_err(), "{wrong:?}");
        }
        order_8[0] ^= 1;
        assert!(X25519.start().unwrap().complete(&order_8).is_ok());
    }
}
