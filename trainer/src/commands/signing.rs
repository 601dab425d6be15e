//! Releases that are signed on another machine: `candidate`, `sign`, and the checks of `approve --signed`.

use super::store_args::StoreArgs;
use crate::serve::signed_file;
use anyhow::{Context, bail, ensure};
use clap::Args;
use lapwing_common::{clock, print_line, private_file};
use lapwing_pipeline::release::build::{check_signed, sign_held};
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_pipeline::release::read;
use lapwing_shared::release::accept::{Terms, accept};
use lapwing_shared::release::file::FILE_BYTES;
use lapwing_shared::release::root::SignedRoot;
use lapwing_shared::release::signature::TrustedKeys;
use lapwing_shared::release::update::UpdateState;
use lapwing_store::{HeldRelease, HeldState, StoreHandle};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Newest held-back releases among which one is searched.
const HELD_LOOKED_AT: u32 = 1_000;

/// `candidate`.
#[derive(Debug, Args)]
pub(crate) struct CandidateArgs {
    /// Version of the release.
    version: u64,
    /// New file to write: manifest and network, without a signature.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Group of agents [default: the configuration's].
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
}

/// `sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// File that `candidate` wrote.
    file: PathBuf,
    /// Secret key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Lowest version to which agents that accept the release ever go back; below its own version. Agents that do not know
    /// floors refuse a release with one. Default: that of the candidate.
    #[arg(long, value_name = "VERSION")]
    floor: Option<u64>,
    /// New release file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Reads a release file; longer ones are cut, and then invalid.
fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let context = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).with_context(context)?;
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes).with_context(context)?;
    Ok(bytes)
}

/// Writes a file that does not exist yet.
fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let opened = std::fs::File::options().write(true).create_new(true).open(path);
    if opened.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists) {
        bail!("{} already exists; remove it, or choose another file with --out", path.display());
    }
    opened.and_then(|mut file| file.write_all(bytes)).with_context(|| format!("cannot write {}", path.display()))
}

fn waiting(handle: &StoreHandle, group: &str, version: u64) -> anyhow::Result<HeldRelease> {
    let held = handle.held_releases(group, HELD_LOOKED_AT)?;
    let held = held.into_iter().find(|held| held.version == version && held.state == HeldState::Waiting);
    held.with_context(|| {
        format!("no release {version} of group {group} waits; `lapwing-trainer approve` lists those that do")
    })
}

/// `candidate`.
pub(crate) fn run_candidate(args: &CandidateArgs) -> anyhow::Result<()> {
    let config = args.store.configuration()?;
    let groups: Vec<String> = config.groups().into_iter().map(|group| group.group).collect();
    let group = match (&args.group, &groups[..]) {
        (Some(group), _) | (None, [group]) => group,
        _ => bail!("every group has its own versions; select one with --group: {}", groups.join(", ")),
    };
    let held = waiting(&StoreHandle::open(&config.store.path)?, group, args.version)?;
    write_new(&args.out, &read_file(&held.file)?)?;
    print_line!("{}: release {} of group {group}, not signed", args.out.display(), args.version);
    held.findings.lines().for_each(|finding| print_line!("    {finding}"));
    Ok(())
}

/// `sign`.
pub(crate) fn run_sign(args: &SignArgs) -> anyhow::Result<()> {
    let context = || format!("candidate {}", args.file.display());
    let key = ReleaseKey::load(&args.key)?;
    let signed = sign_held(&read_file(&args.file)?, &key, args.floor).with_context(context)?;
    let (_, manifest) = read(&signed).with_context(context)?;
    write_new(&args.out, &signed)?;
    let (version, group) = (manifest.version, &manifest.group);
    print_line!("{}: release {version} of group {group}, signed with key {}", args.out.display(), key.name());
    print_line!("on the server: lapwing-trainer approve {version} --group {group} --signed FILE");
    Ok(())
}

/// Keys of the given files, or else of the configured ones.
pub(crate) fn trusted(given: &[PathBuf], configured: &[PathBuf]) -> anyhow::Result<TrustedKeys> {
    let mut keys = TrustedKeys::default();
    for path in if given.is_empty() { configured } else { given } {
        let context = || format!("key file {}", path.display());
        let text = std::fs::read_to_string(path).with_context(context)?;
        let parsed = TrustedKeys::parse(&text).with_context(context)?;
        parsed.iter().try_for_each(|key| keys.add(key.clone())).with_context(context)?;
    }
    Ok(keys)
}

/// Checks a signed file against the release that waits, and as agents will check it; then puts it beside the release, where
/// `serve` finds it.
///
/// # Errors
/// When it is another release, or agents would refuse it.
pub(crate) fn take_signed(
    handle: &StoreHandle,
    (group, version): (&str, u64),
    signed: &Path,
    keys: &TrustedKeys,
) -> anyhow::Result<()> {
    let held = waiting(handle, group, version)?;
    let (candidate, bytes) = (read_file(&held.file)?, read_file(signed)?);
    let context = || format!("signed release {}", signed.display());
    check_signed(&candidate, &bytes).with_context(context)?;
    let (file, manifest) = read(&bytes).with_context(context)?;
    let root = handle.newest_root()?.map(|root| SignedRoot::decode(&root.bytes)?.first_trusted()).transpose()?;
    ensure!(
        root.is_some() || keys.iter().next().is_some(),
        "no key to check the signature with; publish a root document, set enrolment.keys, or name the key with --key"
    );
    let form = manifest.artifacts.first().context("the release has no artifact")?.form;
    let terms = Terms { keys: keys.clone(), root, group: manifest.group.clone(), schema: manifest.schema, form };
    let mut state = UpdateState::new(manifest.group.clone());
    state.highest_confirmed = version.saturating_sub(1);
    accept(file.signed, &terms, &state, Some(clock::now_s())).with_context(context)?;
    let (path, fresh) = (signed_file(&held.file), held.file.with_extension("signed-new"));
    let write = || {
        let mut file = private_file::create(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
