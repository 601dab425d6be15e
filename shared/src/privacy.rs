//! Addresses ↔ pseudonyms under a key.
//!
//! A pseudonym is the address encrypted as one block of 128 bits, so that the same address always has the same one, and
//! only the key leads back. The cipher is a Feistel network whose round function is HMAC-SHA-256, which the agent has
//! anyway (docs/adr/0030-privacy-modes.md).

use crate::release::digest::{Hex, parse_digest};
use crate::units::Address;
use crate::verdict::addresses::{AddressForm, KeyId, NO_HOST};
use crate::verdict::alert::Alert;
use core::fmt;
use core::num::NonZeroU32;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Rounds. Four make a strong permutation (Luby and Rackoff 1988); with six, even 2^32 known pairs do not distinguish it from
/// a random one (Patarin 2004).
const ROUNDS: u8 = 6;
/// Prefixes of what is authenticated, one for each use.
const ROUND_PREFIX: &[u8] = b"lapwing address round v1\0";
const ID_PREFIX: &[u8] = b"lapwing address key id v1\0";
/// Start of a key file.
const KEY_FILE: &str = "lapwing-address-key-v1";

/// The key of pseudonyms.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressKey([u8; 32]);

/// Omits the key.
impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address key {}", self.id())
    }
}

impl AddressKey {
    /// A key of these bytes, which must be random.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key of a key file: one line, `lapwing-address-key-v1` and 64 lower-case hexadecimal digits.
    #[inline]
    pub fn parse(text: &str) -> Option<Self> {
        parse_digest(text.trim().strip_prefix(KEY_FILE)?.trim_start()).map(Self)
    }

    /// Displays the content of its key file.
    pub const fn file(&self) -> KeyFile<'_> {
        KeyFile(self)
    }

    /// Its identifier.
    #[inline]
    pub fn id(&self) -> KeyId {
        KeyId(NonZeroU32::new((self.mac(ID_PREFIX, 0, 0) >> 32) as u32).unwrap_or(NonZeroU32::MIN))
    }

    fn mac(&self, prefix: &[u8], round: u8, half: u64) -> u64 {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return 0 };
        mac.update(prefix);
        mac.update(&[round]);
        mac.update(&half.to_be_bytes());
        mac.finalize().into_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The pseudonym of an address.
    #[inline]
    pub fn pseudonym(&self, address: Address) -> Address {
        let bits = u128::from_be_bytes(address.0);
        let (mut left, mut right) = ((bits >> 64) as u64, bits as u64);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.mac(ROUND_PREFIX, round, right));
        }
        Address((u128::from(left) << 64 | u128::from(right)).to_be_bytes())
    }

    /// The address of a pseudonym. Pseudonyms of another key give arbitrary bytes.
    pub fn address(&self, pseudonym: Address) -> Address {
        let bits = u128::from_be_bytes(pseudonym.0);
        let (mut left, mut right) = ((bits >> 64) as u64, bits as u64);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.mac(ROUND_PREFIX, round, left), left);
        }
        Address((u128::from(left) << 64 | u128::from(right)).to_be_bytes())
    }
}

/// Displays a key file.
#[derive(Clone, Copy)]
pub struct KeyFile<'a>(&'a AddressKey);

impl fmt::Display for KeyFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{KEY_FILE} {}", Hex(&self.0.0))
    }
}

/// Replaces the addresses of alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    key: AddressKey,
    form: AddressForm,
}

impl Protection {
    /// By pseudonyms that the key resolves.
    #[inline]
    pub fn pseudonyms(key: AddressKey) -> Self {
        Self { form: AddressForm::Pseudonym(key.id()), key }
    }

    /// By pseudonyms of a key that is forgotten at the end of the run.
    pub const fn hidden(key: AddressKey) -> Self {
        Self { key, form: AddressForm::Hidden }
    }

    /// The form of protected alerts.
    pub const fn form(&self) -> AddressForm {
        self.form
    }

    /// Protects an alert; false if it needs no change: it has no address, or is protected as well already.
    #[inline]
    pub fn protect(&self, alert: &mut Alert) -> bool {
        let is_protected = match self.form {
            AddressForm::Hidden => alert.addresses == AddressForm::Hidden,
            _ => alert.addresses != AddressForm::Plain,
        };
        if is_protected {
            return false;
        }
        let hosts = alert.peers.iter_mut().map(|peer| &mut peer.address).chain([&mut alert.host]);
        for address in hosts.filter(|address| **address != NO_HOST) {
            *address = self.key.pseudonym(*address);
            alert.addresses = self.form;
        }
        alert.addresses != AddressForm::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Timestamp;
    use crate::verdict::alert::{AlertState, Peer, Role};
    use heapless::Vec;
    use std::string::ToString;

    fn key(byte: u8) -> AddressKey {
        AddressKey::new([byte; 32])
    }

    fn alert() -> Alert {
        let peer = |last| Peer { address: Address::from_v4([192, 0, 2, last]), flows: 3 };
        Alert {
            episode: 1,
            state: AlertState::Opened,
            host: Address::from_v4([10, 0, 0, 9]),
            role: Role::Source,
            since: Timestamp::EPOCH,
            at: Timestamp::EPOCH,
            evidence_nats: 20.0,
            peak_nats: 20.0,
            limit_nats: 17.0,
            flows: 3,
            odd_flows: 3,
            peers: [peer(1), peer(2)].into_iter().collect(),
            service_port: 23,
            reasons: Vec::new(),
            resembles: None,
            release: 1,
            addresses: AddressForm::Plain,
            rows: Vec::new(),
        }
    }

    #[test]
    fn a_pseudonym_is_the_encrypted_address_and_its_key_resolves_it() {
        // python3: six Feistel rounds of hmac.new(bytes([1]*32), b"lapwing address round v1\0" + bytes([r]) + right, "sha256")
        let known = [
            (Address::from_v4([192, 168, 1, 23]), "4357917f06f7fa756c9745303423ca56"),
            (Address([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]), "b6e606f9e8557d21273de38278833aaf"),
        ];
        for (address, expected) in known {
            let pseudonym = key(1).pseudonym(address);
            assert_eq!(Hex(&pseudonym.0).to_string(), expected);
            assert_eq!(key(1).address(pseudonym), address);
            assert_ne!(key(2).pseudonym(address), pseudonym);
            assert_ne!(key(2).address(pseudonym), address);
        }
        assert_eq!(key(1).id().to_string(), "b6af7c44");
    }

    #[test]
    fn pseudonyms_of_neighbours_have_nothing_in_common() {
        let pseudonym = |last| u128::from_be_bytes(key(7).pseudonym(Address::from_v4([192, 168, 1, last])).0);
        for last in 1..=254 {
            let differing = (pseudonym(last) ^ pseudonym(last - 1)).count_ones();
            // Binomial, 64 ± 5.7.
            assert!((30..98).contains(&differing), "{last}: {differing}");
        }
    }

    #[test]
    fn a_key_file_is_one_line() {
        let file = key(0xab).file().to_string();
        assert_eq!(AddressKey::parse(&file), Some(key(0xab)));
        for wrong in
            ["", "lapwing-address-key-v1", "lapwing-address-key-v1 abcd", &file.replace("v1", "v2"), &file[23..]]
        {
            assert_eq!(AddressKey::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn protection_replaces_host_and_peers_once() {
        let protection = Protection::pseudonyms(key(1));
        let mut protected = alert();
        assert!(protection.protect(&mut protected));
        assert_eq!(protected.addresses, AddressForm::Pseudonym(key(1).id()));
        assert_eq!(key(1).address(protected.host), alert().host);
        assert_eq!(key(1).address(protected.peers[1].address), alert().peers[1].address);
        let before = protected.clone();
        assert!(!protection.protect(&mut protected) && !Protection::pseudonyms(key(2)).protect(&mut protected));
        assert_eq!(protected, before);
        let run = Protection::hidden(key(3));
        assert!(run.protect(&mut protected), "pseudonyms of an earlier configuration can be resolved");
        assert_eq!(protected.addresses, AddressForm::Hidden);
        assert!(!run.protect(&mut protected) && !protection.protect(&mut protected));
    }

    #[test]
    fn an_alert_without_addresses_stays_as_it_is() {
        let mut site = Alert { host: NO_HOST, peers: Vec::new(), ..alert() };
        assert!(!Protection::hidden(key(1)).protect(&mut site));
        assert_eq!((site.host, site.addresses), (NO_HOST, AddressForm::Plain));
        let mut with_peers = Alert { host: NO_HOST, ..alert() };
        assert!(Protection::hidden(key(1)).protect(&mut with_peers));
        assert!(with_peers.host == NO_HOST && with_peers.addresses == AddressForm::Hidden);
    }
}
