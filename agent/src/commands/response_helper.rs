//! `response-helper`, which the agent starts for itself: addresses on standard input → spared, or blocked with nft.
//!
//! The process keeps CAP_NET_ADMIN and can start programs, which the agent no longer can. It takes no file name, script or
//! other text from the agent after its settings, decides itself which addresses are spared, and ends with the agent.

use crate::config::{ResponseMode, ResponseSection, Span};
use crate::confine::own;
use crate::response::{Outcome, READY, REQUEST_OCTETS, SETTINGS_OCTETS, SETTINGS_VERSION, Settings, nft, spare};
use lapwing_live::rights;
use lapwing_shared::context::local::Prefix;
use lapwing_shared::release::framing;
use lapwing_shared::units::{Address, Nanos};
use std::io::{self, ErrorKind, Read, Write};

/// CAP_NET_ADMIN, which nft needs.
const NET_ADMIN: u32 = 12;

/// Serves the agent that started this process until its end.
///
/// # Errors
/// When the settings are invalid, the table cannot be created, or the pipes break.
pub(crate) fn run() -> anyhow::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let prepared = ignore_signals().map_err(Into::into).and_then(|signals| Ok((signals, prepare(&mut input)?)));
    let (_signals, mut policy) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            writeln!(output, "{error}")?;
            return Err(error);
        }
    };
    writeln!(output, "{READY}")?;
    output.flush()?;
    let served = serve(&mut input, &mut output, &mut |address, is_proven| policy.respond(address, is_proven));
    policy.remove();
    Ok(served?)
}

/// Signals to the whole service must not end the process before it has deleted its table; the end of its input does.
fn ignore_signals() -> io::Result<tokio::runtime::Runtime> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let guard = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // The handler stays in place without the stream.
        drop(signal(kind)?);
    }
    drop(guard);
    Ok(runtime)
}

/// Reads the settings, drops rights, creates the table.
fn prepare(input: &mut impl Read) -> anyhow::Result<Policy> {
    let settings = read_settings(input).map_err(|error| {
        anyhow::anyhow!("response-helper is started by the agent itself; its settings are invalid: {error}")
    })?;
    let section = ResponseSection {
        mode: settings.mode,
        duration: Span(Nanos::from_secs(settings.seconds)),
        never: settings.never.clone(),
        nft: settings.nft.clone(),
    };
    let never = section.never()?;
    let blocks = settings.mode == ResponseMode::Block;
    drop_rights(&settings, blocks)?;
    if blocks {
        nft::run(&settings.nft, &nft::prepare())
            .map_err(|error| anyhow::anyhow!("{} cannot create the table: {error}", settings.nft.display()))?;
    }
    Ok(Policy { brokers: vec![Vec::new(); settings.brokers.len()], settings, never })
}

fn read_settings(input: &mut impl Read) -> anyhow::Result<Settings> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let mut frame = Vec::new();
    input.take(u32::from_le_bytes(length).into()).take(SETTINGS_OCTETS as u64 + 1).read_to_end(&mut frame)?;
    Ok(framing::decode(SETTINGS_VERSION, &frame, SETTINGS_OCTETS)?)
}

fn drop_rights(settings: &Settings, blocks: bool) -> anyhow::Result<()> {
    if let Some(name) = &settings.user {
        let account = own::account(name)?;
        rights::keep_capabilities()?;
        rights::become_user(account.user, account.group)
            .map_err(|error| anyhow::anyhow!("cannot switch to user {name}: {error}"))?;
    }
    let kept: &[u32] = if blocks { &[NET_ADMIN] } else { &[] };
    rights::drop_capabilities(kept)
        .map_err(|error| anyhow::anyhow!("cannot keep CAP_NET_ADMIN for nft: {error}; start as root or with it"))?;
    if blocks {
        rights::raise_ambient(NET_ADMIN)?;
    }
    Ok(rights::no_new_privileges()?)
}

/// Answers each request with one octet, until the input ends.
fn serve(
    input: &mut impl Read,
    output: &mut impl Write,
    respond: &mut impl FnMut(&Address, bool) -> Outcome,
) -> io::Result<()> {
    let mut request = [0; REQUEST_OCTETS];
    loop {
        match input.read_exact(&mut request) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut address = Address([0; 16]);
        address.0.copy_from_slice(&request[..16]);
        output.write_all(&[respond(&address, request[16] == 1) as u8])?;
        output.flush()?;
    }
}

struct Policy {
    settings: Settings,
    never: Vec<Prefix>,
    /// Addresses of each broker, as last resolved.
    brokers: Vec<Vec<Address>>,
}

impl Policy {
    fn respond(&mut self, address: &Address, is_proven: bool) -> Outcome {
        for (host, known) in self.settings.brokers.iter().zip(&mut self.brokers) {
            let found = spare::broker_addresses(host);
            if !found.is_empty() {
                *known = found;
            }
        }
        let mut spared = spare::spared();
        spared.extend(self.brokers.iter().flatten().map(|address| (*address, "the broker")));
        let decision = decide(address, is_proven || spare::has_lease(address), &self.never, &spared);
        if let Some((outcome, reason)) = decision {
            tracing::warn!(%address, reason, "not blocked");
            return outcome;
        }
        let seconds = self.settings.seconds;
        if self.settings.mode == ResponseMode::DryRun {
            tracing::warn!(%address, seconds, "would be blocked (dry run)");
            return Outcome::DryRun;
        }
        match nft::run(&self.settings.nft, &nft::block(address, seconds)) {
            Ok(()) => {
                tracing::warn!(%address, seconds, "blocked");
                Outcome::Blocked
            }
            Err(error) => {
                tracing::warn!(%address, %error, "cannot block");
                Outcome::Failed
            }
        }
    }

    fn remove(&self) {
        if self.settings.mode == ResponseMode::Block
            && let Err(error) = nft::run(&self.settings.nft, nft::REMOVE)
        {
            tracing::warn!(%error, "cannot delete the table of blocked addresses");
        }
    }
}

/// Why an address is not blocked, if so.
fn decide(
    address: &Address,
    is_known: bool,
    never: &[Prefix],
    spared: &[(Address, &'static str)],
) -> Option<(Outcome, &'static str)> {
    if let Some(reason) = spare::exempt(address, never, spared) {
        return Some((Outcome::Spared, reason));
    }
    (!is_known).then_some((Outcome::Unproven, "it may be forged: no TCP connection and no DHCP lease seen"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_source_address_does_not_choose_who_is_blocked() {
        let v4 = Address::from_v4;
        let resolver = (v4([192, 168, 1, 3]), "a name server of this machine");
        let decided = |octets, is_known| decide(&v4(octets), is_known, &[], &[resolver]).map(|(outcome, _)| outcome);
        assert_eq!(decided([203, 0, 113, 5], false), Some(Outcome::Unproven));
        assert_eq!(decided([203, 0, 113, 5], true), None);
        assert_eq!(decided([192, 168, 1, 3], true), Some(Outcome::Spared));
        assert_eq!(decided([127, 0, 0, 1], true), Some(Outcome::Spared));
    }

    #[test]
    fn each_request_is_answered_and_a_partial_one_is_not() {
        let input = [[7_u8; 16].as_slice(), &[1], &[9; 16], &[0], &[5; 3]].concat();
        let mut asked = Vec::new();
        let mut output = Vec::new();
        serve(&mut input.as_slice(), &mut output, &mut |address, is_proven| {
            asked.push((address.0[0], is_proven));
            Outcome::Unproven
        })
        .unwrap();
        assert_eq!((asked, output), (vec![(7, true), (9, false)], vec![Outcome::Unproven as u8; 2]));
    }

    #[test]
    fn input_that_is_no_setting_is_an_error() {
        for line in ["", "{}\n", "nft -f evil\n"] {
            let error = prepare(&mut line.as_bytes()).err().unwrap().to_string();
            assert!(error.starts_with("response-helper is started by the agent itself"), "{error}");
        }
    }
}
