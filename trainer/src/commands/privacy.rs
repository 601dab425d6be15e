//! Keys of pseudonyms, and pseudonyms → addresses: `privacy new-key` and `resolve`.

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use lapwing_common::output::write_json;
use lapwing_common::{print_line, private_file};
use lapwing_shared::context::local::Prefix;
use lapwing_shared::privacy::AddressKey;
use lapwing_shared::units::Address;
use lapwing_shared::verdict::addresses::parse_pseudonym;
use serde::Serialize;
use std::io::{BufRead, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Longest key file that is read, bytes.
const KEY_FILE_BYTES: u64 = 4096;
/// Longest line of a text that is resolved, bytes; longer lines are split.
const LINE_BYTES: u64 = 1 << 20;
/// Characters of a pseudonym.
const PSEUDONYM_CHARS: usize = 34;

/// `privacy`.
#[derive(Debug, Subcommand)]
pub(crate) enum PrivacyCommand {
    /// Create a key of pseudonyms: agents with privacy.key-file report pseudonyms, which `resolve` turns into addresses.
    #[command(after_help = "Example:\n  lapwing-trainer privacy new-key home.address-key")]
    NewKey {
        /// Key file; readable by its owner only, never overwritten.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// `resolve`.
#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// Pseudonyms, as alerts show them [default: copy standard input to standard output, with addresses instead of
    /// pseudonyms].
    #[arg(value_name = "PSEUDONYM")]
    pub(crate) pseudonyms: Vec<String>,
    /// Key file. With several, the first key that gives a plausible address is used.
    #[arg(long = "key", value_name = "FILE", required = true)]
    pub(crate) keys: Vec<PathBuf>,
    /// Accept only addresses in these networks, e.g. 192.168.1.0/24 [default: every address that may be in use].
    #[arg(long = "network", value_name = "PREFIX", value_parser = network)]
    pub(crate) networks: Vec<Prefix>,
    /// Write the addresses to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE", requires = "pseudonyms")]
    pub(crate) json: Option<PathBuf>,
}

fn network(text: &str) -> Result<Prefix, String> {
    let parse = || {
        let (address, length) = text.split_once('/')?;
        let length: u8 = length.parse().ok()?;
        match address.parse().ok()? {
            IpAddr::V4(address) if length <= 32 => Some(Prefix::v4(address.octets(), length)),
            IpAddr::V6(address) if length <= 128 => Some(Prefix::new(Address(address.octets()), length)),
            _ => None,
        }
    };
    parse().ok_or_else(|| "expected a prefix like 192.168.1.0/24 or fd00::/8".to_owned())
}

/// `privacy`.
///
/// # Errors
/// When the file exists or cannot be written.
pub(crate) fn run_privacy(command: &PrivacyCommand) -> anyhow::Result<()> {
    let PrivacyCommand::NewKey { file } = command;
    let key = AddressKey::new(lapwing_authority::random()?);
    let written = private_file::create_new(file).and_then(|mut out| write!(out, "{}", key.file()));
    written.with_context(|| format!("cannot create {}", file.display()))?;
    print_line!("key {}: {} (whoever has it can resolve pseudonyms)", key.id(), file.display());
    Ok(())
}

/// Reads a key file.
///
/// # Errors
/// When it cannot be read, or is invalid.
pub(crate) fn read_key(path: &Path) -> anyhow::Result<AddressKey> {
    let mut text = String::new();
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(KEY_FILE_BYTES).read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    let key = AddressKey::parse(&text);
    key.with_context(|| {
        format!("{} is not a key of pseudonyms; expected one line `lapwing-address-key-v1 …`", path.display())
    })
}

/// A pseudonym or an address.
#[derive(Debug, Serialize)]
struct Resolved {
    pseudonym: String,
    /// `None`: no key gives an address that is accepted.
    address: Option<String>,
    /// Identifier of the key.
    key: Option<String>,
}

/// Keys, and which addresses are accepted: a wrong key gives arbitrary ones.
struct Resolver {
    keys: Vec<AddressKey>,
    networks: Vec<Prefix>,
}

impl Resolver {
    fn accepts(&self, address: &Address) -> bool {
        match self.networks.as_slice() {
            [] => is_plausible(address),
            networks => networks.iter().any(|network| network.contains(address)),
        }
    }

    /// The address of a pseudonym and the key that gives it.
    fn address(&self, pseudonym: Address) -> Option<(Address, &AddressKey)> {
        self.keys.iter().map(|key| (key.address(pseudonym), key)).find(|(address, _)| self.accepts(address))
    }

    fn resolve(&self, text: &str) -> anyhow::Result<Resolved> {
        let (pseudonym, is_hidden) =
            parse_pseudonym(text).with_context(|| format!("{text} is not a pseudonym; expected p- and 32 digits"))?;
        ensure!(!is_hidden, "{text} cannot be resolved: its key was never stored (privacy.addresses = \"none\")");
        let (address, key) = self.address(pseudonym).unzip();
        let (address, key) = (address.map(|address| address.to_string()), key.map(|key| key.id().to_string()));
        Ok(Resolved { pseudonym: text.to_owned(), address, key })
    }

    /// A text with addresses instead of the pseudonyms that can be resolved.
    fn replace(&self, text: &str) -> String {
        let (mut replaced, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(start) = rest.find("p-") {
            let (before, found) = rest.split_at(start);
            let candidate = found.get(..PSEUDONYM_CHARS).unwrap_or(found);
            let address = parse_pseudonym(candidate).and_then(|(pseudonym, _)| self.address(pseudonym));
            replaced.push_str(before);
            let (shown, taken) = match address {
                Some((address, _)) => (address.to_string(), candidate.len()),
                None => ("p-".to_owned(), 2),
            };
            replaced.push_str(&shown);
            rest = found.get(taken..).unwrap_or_default();
        }
        replaced + rest
    }
}

/// Whether an address may be in use: IPv4, global, local or multicast IPv6, or the MAC address of a host that sends neither.
fn is_plausible(address: &Address) -> bool {
    let first = u16::from_be_bytes([address.0[0], address.0[1]]);
    let is_short = address.0.iter().take(10).all(|byte| *byte == 0);
    is_short || first >> 13 == 1 || first >> 9 == 0xfc >> 1 || first >> 6 == 0xfe80 >> 6 || first >> 8 == 0xff
}

/// `resolve`.
///
/// # Errors
/// When a key cannot be read, a text is not a pseudonym, or one cannot be resolved.
pub(crate) fn run_resolve(args: &ResolveArgs) -> anyhow::Result<()> {
    let keys = args.keys.iter().map(|path| read_key(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let resolver = Resolver { keys, networks: args.networks.clone() };
    if args.pseudonyms.is_empty() {
        return copy(&resolver, &mut std::io::stdin().lock());
    }
    let resolved =
        args.pseudonyms.iter().map(|text| resolver.resolve(text)).collect::<anyhow::Result<Vec<Resolved>>>()?;
    match &args.json {
        Some(path) => write_json(path, &resolved)?,
        None => resolved.iter().for_each(|Resolved { pseudonym, address, .. }| {
            print_line!("{pseudonym}  {}", address.as_deref().unwrap_or("unknown"));
        }),
    }
    match resolved.iter().filter(|resolved| resolved.address.is_none()).count() {
        0 => Ok(()),
        count => bail!(
            "{count} of {} pseudonyms are not of these keys and networks; the alert shows the identifier of its key",
            resolved.len()
        ),
    }
}

fn copy(resolver: &Resolver, input: &mut impl BufRead) -> anyhow::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        print_line!("{}", resolver.replace(text.trim_end_matches('\n')));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::messages::{AddressForm, Host};
    use lapwing_store::testing::Folder;

    const LAPTOP: Address = Address::from_v4([192, 168, 1, 23]);

    fn key(byte: u8) -> AddressKey {
        AddressKey::new([byte; 32])
    }

    fn pseudonym(byte: u8, address: Address) -> String {
        Host { address: key(byte).pseudonym(address), form: AddressForm::Pseudonym(key(byte).id()) }.to_string()
    }

    fn resolver(keys: &[u8], networks: &[&str]) -> Resolver {
        let networks = networks.iter().map(|text| network(text).unwrap()).collect();
        Resolver { keys: keys.iter().map(|byte| key(*byte)).collect(), networks }
    }

    #[test]
    fn a_pseudonym_resolves_with_its_key_among_several() {
        let resolved = resolver(&[1, 2], &[]).resolve(&pseudonym(2, LAPTOP)).unwrap();
        assert_eq!((resolved.address.as_deref(), resolved.key), (Some("192.168.1.23"), Some(key(2).id().to_string())));
        assert_eq!(resolver(&[1, 3], &["192.168.0.0/16"]).resolve(&pseudonym(2, LAPTOP)).unwrap().address, None);
        let outside = resolver(&[2], &["10.0.0.0/8", "fd00::/8"]).resolve(&pseudonym(2, LAPTOP)).unwrap();
        assert_eq!(outside.address, None, "not in these networks");
        let error = resolver(&[2], &[]).resolve(&pseudonym(2, LAPTOP).replace("p-", "h-")).unwrap_err().to_string();
        assert!(error.contains("never stored"), "{error}");
        assert!(resolver(&[2], &[]).resolve("192.168.1.23").is_err());
    }

    #[test]
    fn addresses_in_use_are_plausible_and_most_others_are_not() {
        for used in ["192.168.1.1", "2001:db8::1", "fd12::1", "fe80::1", "ff02::fb", "::aabb:ccdd:eeff"] {
            let address = match used.parse().unwrap() {
                IpAddr::V4(address) => Address::from_v4(address.octets()),
                IpAddr::V6(address) => Address(address.octets()),
            };
            assert!(is_plausible(&address), "{used}");
        }
        let wrong =
            (0..1000_u32).filter(|number| is_plausible(&key(1).pseudonym(Address(u128::from(*number).to_be_bytes()))));
        // 1/8 + 1/128 + 1/1024 + 1/256 of all: 138 expected.
        assert!((90..190).contains(&wrong.count()));
    }

    #[test]
    fn a_text_is_copied_with_addresses_in_place_of_pseudonyms() {
        let (laptop, other) = (pseudonym(1, LAPTOP), pseudonym(9, LAPTOP));
        let text = format!("up-link: {laptop} started 3 flows to {laptop}, p-12, {other} é p-");
        let networks = ["192.168.1.0/24"];
        let expected = format!("up-link: 192.168.1.23 started 3 flows to 192.168.1.23, p-12, {other} é p-");
        assert_eq!(resolver(&[1], &networks).replace(&text), expected);
    }

    #[test]
    fn a_new_key_reads_back_and_is_never_overwritten() {
        let folder = Folder::new();
        let file = folder.path().join("home.address-key");
        let command = PrivacyCommand::NewKey { file: file.clone() };
        run_privacy(&command).unwrap();
        let created = read_key(&file).unwrap();
        assert!(run_privacy(&command).is_err());
        assert_eq!(read_key(&file).unwrap(), created);
        std::fs::write(&file, "x").unwrap();
        assert!(read_key(&file).unwrap_err().to_string().contains("not a key of pseudonyms"));
    }
}
