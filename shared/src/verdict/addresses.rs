//! How an alert gives the addresses of hosts: as they are, or as pseudonyms.

use crate::units::Address;
use core::fmt;
use core::num::NonZeroU32;

/// The host of alerts about the whole site: 0.0.0.0.
pub const NO_HOST: Address = Address::from_v4([0; 4]);
/// Digits of a pseudonym's text after its prefix.
const DIGITS: usize = 32;
/// Prefix of pseudonyms that the owner of a key can resolve.
const PSEUDONYM: &str = "p-";
/// Prefix of pseudonyms of one run, which no key resolves.
const HIDDEN: &str = "h-";

/// Identifies a key of pseudonyms, without revealing it; displays as 8 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub NonZeroU32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// What the addresses of an alert are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressForm {
    /// Addresses.
    #[default]
    Plain,
    /// Pseudonyms, which the key with this identifier resolves.
    Pseudonym(KeyId),
    /// Pseudonyms of one run of an agent, whose key was never stored.
    Hidden,
}

impl AddressForm {
    /// The number that messages and stores have for it; `None` for plain addresses.
    pub const fn code(self) -> Option<u32> {
        match self {
            Self::Plain => None,
            Self::Hidden => Some(0),
            Self::Pseudonym(key) => Some(key.0.get()),
        }
    }

    /// The form with this [`code`](Self::code).
    pub const fn from_code(code: Option<u32>) -> Self {
        match code {
            None => Self::Plain,
            Some(code) => match NonZeroU32::new(code) {
                None => Self::Hidden,
                Some(key) => Self::Pseudonym(KeyId(key)),
            },
        }
    }

    /// Its name in configuration and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Pseudonym(_) => "pseudonym",
            Self::Hidden => "none",
        }
    }

    /// The key that resolves the pseudonyms, if there is one.
    pub const fn key(self) -> Option<KeyId> {
        match self {
            Self::Pseudonym(key) => Some(key),
            Self::Plain | Self::Hidden => None,
        }
    }
}

/// A host of an alert; displays as address, or as a pseudonym with a prefix that no address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Address, or pseudonym.
    pub address: Address,
    /// Which of them.
    pub form: AddressForm,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.form {
            // Alerts about the whole site have this host in every form.
            _ if self.address == NO_HOST => return self.address.fmt(f),
            AddressForm::Plain => return self.address.fmt(f),
            AddressForm::Pseudonym(_) => PSEUDONYM,
            AddressForm::Hidden => HIDDEN,
        };
        f.write_str(prefix)?;
        self.address.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A pseudonym in text form, as [`Host`] displays it; true if its key was never stored.
pub fn parse_pseudonym(text: &str) -> Option<(Address, bool)> {
    let (digits, is_hidden) = match text.strip_prefix(PSEUDONYM) {
        Some(digits) => (digits, false),
        None => (text.strip_prefix(HIDDEN)?, true),
    };
    // The standard parser accepts a sign.
    let is_valid = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bits = u128::from_str_radix(digits, 16).ok().filter(|_| is_valid)?;
    Some((Address(bits.to_be_bytes()), is_hidden))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn no_pseudonym_reads_as_an_address_and_its_text_parses_back() {
        let address = Address([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        let key = KeyId(NonZeroU32::new(0xab).unwrap());
        let shown = |form| Host { address, form }.to_string();
        assert_eq!(shown(AddressForm::Plain), "2001:db8::9");
        assert_eq!(shown(AddressForm::Pseudonym(key)), "p-20010db8000000000000000000000009");
        assert_eq!(shown(AddressForm::Hidden), "h-20010db8000000000000000000000009");
        assert_eq!(Host { address: NO_HOST, form: AddressForm::Hidden }.to_string(), "0.0.0.0");
        assert_eq!(key.to_string(), "000000ab");
        for form in [AddressForm::Pseudonym(key), AddressForm::Hidden] {
            let text = shown(form);
            assert!(text.parse::<core::net::IpAddr>().is_err());
            assert_eq!(parse_pseudonym(&text), Some((address, form == AddressForm::Hidden)));
        }
        let digits = "20010db8000000000000000000000009";
        for wrong in [digits, &format!("p-+{}", &digits[1..]), &format!("q-{digits}"), "p-", "p-12", ""] {
            assert_eq!(parse_pseudonym(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_form_has_a_code() {
        let key = AddressForm::Pseudonym(KeyId(NonZeroU32::MAX));
        for form in [AddressForm::Plain, AddressForm::Hidden, key] {
            assert_eq!(AddressForm::from_code(form.code()), form);
        }
    }
}
