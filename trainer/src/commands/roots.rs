//! Files of root documents ↔ the keys that they name: `keys root`, `keys add`, `keys rotate`, `keys withdraw`, `keys publish`.

mod args;

pub(crate) use args::{AddArgs, PublishArgs, RootCommand, RotateArgs, WithdrawArgs};

use super::user;
use anyhow::{Context, bail, ensure};
use args::{NewArgs, PurposeArg, ShowArgs, Signing};
use lapwing_common::clock;
use lapwing_common::print_line;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_pipeline::release::roots::{RootFile, RootFileError};
use lapwing_shared::release::digest::Hex;
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::name::{NAME_RULE, parse_name};
use lapwing_shared::release::root::{
    CHAIN_BYTES, ChainDocuments, Grant, Purpose, RootDocument, RootKey, SignedRoot, follow,
};
use lapwing_shared::release::signature::{KeyUse, Source, TrustedKey, TrustedKeys};
use lapwing_shared::units::{Span, Utc};
use lapwing_store::StoreHandle;
use lapwing_store::traits::StoredRoot;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) fn load(path: &Path) -> anyhow::Result<RootFile> {
    let context = || format!("root documents {}", path.display());
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).with_context(context)?;
    file.take(CHAIN_BYTES as u64 + 1).read_to_end(&mut bytes).with_context(context)?;
    RootFile::read(&bytes).with_context(context)
}

/// Replaces the file atomically.
fn save(path: &Path, file: &RootFile) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let fresh = path.with_extension("new");
    let write = || {
        let mut new = std::fs::File::create(&fresh)?;
        new.write_all(&file.bytes())?;
        new.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().with_context(context)
}

/// The only key of a public key file.
fn public_key(path: &Path) -> anyhow::Result<(TrustedKey, Option<Name>)> {
    let context = || format!("key file {}", path.display());
    let text = std::fs::read_to_string(path).with_context(context)?;
    let keys = TrustedKeys::parse(&text).with_context(context)?;
    let mut keys = keys.iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) => {
            ensure!(key.key_use() != KeyUse::Only(Source::File), "key {} is for release files (use=file)", key.id());
            Ok((key.clone(), key.group().cloned()))
        }
        _ => bail!("{}: expected one key", context()),
    }
}

/// End of a time that begins now; 0 without one.
fn until_s(lifetime: Option<Span>, now_s: u64) -> u64 {
    lifetime.map_or(0, |span| now_s.saturating_add(Duration::from(span.0).as_secs()))
}

fn granted(path: &Path, lifetime: Option<Span>, now_s: u64) -> anyhow::Result<Grant> {
    let (key, group) = public_key(path)?;
    let (name, public, until_s) = (key.id().clone(), key.public(), until_s(lifetime, now_s));
    Ok(Grant { name, public, purpose: Purpose::Release, group, until_s, ceiling: 0 })
}

fn push(root: &mut RootDocument, grant: Grant) -> anyhow::Result<()> {
    let same = root.keys.iter().find(|other| other.name == grant.name || other.public == grant.public);
    if let Some(other) = same {
        let what = if other.public == grant.public { "this key" } else { "another key" };
        bail!("the root document has {what} already, under the name {}; `keys rotate` replaces a key", other.name);
    }
    root.keys.push(grant).map_err(|_| anyhow::anyhow!("a root document has at most 16 keys; withdraw one first"))
}

/// Names of the keys, for messages.
fn names(root: &RootDocument) -> String {
    let names: Vec<&str> = root.keys.iter().map(|grant| grant.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn remove(root: &mut RootDocument, name: &str) -> anyhow::Result<Grant> {
    let place = root.keys.iter().position(|grant| grant.name.as_str() == name);
    let place = place.with_context(|| format!("the root document has no key {name}; it has {}", names(root)))?;
    Ok(root.keys.remove(place))
}

/// Adds a version to a file and signs it.
fn edit(
    path: &Path,
    signing: &Signing,
    now_s: u64,
    change: impl FnOnce(&mut RootDocument) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut file = load(path)?;
    file.add::<EditError>(now_s, |root| change(root).map_err(EditError)).map_err(|EditError(error)| error)?;
    sign(path, file, &signing.roots)
}

/// Why a document was not changed.
struct EditError(anyhow::Error);

impl From<RootFileError> for EditError {
    fn from(error: RootFileError) -> Self {
        Self(error.into())
    }
}

/// Signs the newest document with these keys and writes the file.
fn sign(path: &Path, mut file: RootFile, roots: &[PathBuf]) -> anyhow::Result<()> {
    for root in roots {
        file.sign(&ReleaseKey::load(root)?)?;
    }
    save(path, &file)?;
    let newest = file.newest()?;
    show_keys(newest, clock::now_s());
    match file.signed() {
        Ok(_) => print_line!("{}: {newest}; publish it with `lapwing-trainer keys publish`", path.display()),
        Err(error) => print_line!("{}: {error}", path.display()),
    }
    if !newest.keys.iter().any(|grant| grant.purpose == Purpose::Release) {
        print_line!(
            "warning: no key signs releases: once this is published, agents install nothing new until you add one"
        );
    }
    Ok(())
}

/// `keys root`.
pub(crate) fn run_root(command: &RootCommand) -> anyhow::Result<()> {
    let now_s = clock::now_s();
    match command {
        RootCommand::New(args) => create(args, now_s),
        RootCommand::Show(args) => show(args, now_s),
        RootCommand::Sign { file, roots } => sign(file, load(file)?, roots),
        RootCommand::Rotate { file, old, new, signing } => edit(file, signing, now_s, |root| {
            let (key, _) = public_key(new)?;
            let place = root.roots.iter_mut().find(|root| root.name.as_str() == old);
            let place = place.with_context(|| format!("the root document has no root key {old}"))?;
            *place = RootKey { name: key.id().clone(), public: key.public() };
            Ok(())
        }),
    }
}

fn create(args: &NewArgs, now_s: u64) -> anyhow::Result<()> {
    ensure!(!args.file.exists(), "{} already exists; add keys with `lapwing-trainer keys add`", args.file.display());
    let mut root = RootDocument {
        version: args.version,
        created_s: now_s,
        expires_s: until_s(args.expires, now_s),
        threshold: args.threshold,
        roots: Default::default(),
        keys: Default::default(),
    };
    let signing = args.roots.iter().map(|path| -> anyhow::Result<_> { Ok(ReleaseKey::load(path)?.public()?) });
    let others = args.public_roots.iter().map(|path| Ok(public_key(path)?.0));
    for key in signing.chain(others) {
        let key = key?;
        let root_key = RootKey { name: key.id().clone(), public: key.public() };
        root.roots.push(root_key).map_err(|_| anyhow::anyhow!("expected at most 3 root keys"))?;
    }
    args.keys.iter().try_for_each(|path| push(&mut root, granted(path, None, now_s)?))?;
    sign(&args.file, RootFile::new(root)?, &args.roots)
}

/// `keys add`.
pub(crate) fn run_add(args: &AddArgs) -> anyhow::Result<()> {
    let now_s = clock::now_s();
    let named = granted(&args.key, args.lifetime, now_s)?;
    edit(&args.file, &args.signing, now_s, |root| {
        let is_same = |other: &Grant| (&other.name, other.public) == (&named.name, named.public);
        // Terms that are not named stay: a key for rollouts must not become one for releases because its limit is raised.
        let place = root.keys.iter().position(is_same);
        let mut grant = place.map_or_else(|| named.clone(), |place| root.keys.remove(place));
        if let Some(group) = &args.group {
            grant.group = Some(parse_name(group).with_context(|| format!("group {group:?}: expected {NAME_RULE}"))?);
        }
        if args.lifetime.is_some() {
            grant.until_s = named.until_s;
        }
        grant.ceiling = args.ceiling.unwrap_or(grant.ceiling);
        if let Some(purpose) = args.purpose {
            grant.purpose = purpose.into();
        }
        push(root, grant)
    })
}

impl From<PurposeArg> for Purpose {
    fn from(purpose: PurposeArg) -> Self {
        match purpose {
            PurposeArg::Release => Self::Release,
            PurposeArg::Rollout => Self::Rollout,
        }
    }
}

/// `keys rotate`.
pub(crate) fn run_rotate(args: &RotateArgs) -> anyhow::Result<()> {
    let now_s = clock::now_s();
    let new = granted(&args.new, args.lifetime, now_s)?;
    edit(&args.file, &args.signing, now_s, |root| {
        let old = remove(root, &args.old)?;
        ensure!(
            old.public != new.public,
            "{} is the key {} itself; create a new one with `lapwing-trainer keys new`",
            args.new.display(),
            args.old
        );
        let ceiling = args.ceiling.unwrap_or(old.ceiling);
        push(root, Grant { purpose: old.purpose, group: old.group, ceiling, ..new })
    })
}

/// `keys withdraw`.
pub(crate) fn run_withdraw(args: &WithdrawArgs) -> anyhow::Result<()> {
    edit(&args.file, &args.signing, clock::now_s(), |root| remove(root, &args.name).map(drop))
}

/// `keys publish`.
pub(crate) fn run_publish(args: &PublishArgs) -> anyhow::Result<()> {
    let file = load(&args.file)?;
    let newest = file.signed()?;
    let config = args.store.configuration()?;
    let handle = StoreHandle::open(&config.store.path)?;
    let who = args.who.clone().unwrap_or_else(user);
    if args.replace_root_keys {
        return replace_published(&handle, &file, &who);
    }
    let (published, chain) = (published(&handle)?, file.chain().bytes);
    let held = published.as_ref().map(RootFile::newest).transpose()?;
    if let Some(held) = held {
        // The check of an agent that has the newest published document.
        ensure!(follow(held, &chain)?.is_some(), "version {} is published already", held.version);
    }
    let mut after = held.map_or(0, |held| held.version);
    for bytes in ChainDocuments::new(&chain)? {
        let bytes = bytes?;
        let document = RootDocument::decode(SignedRoot::decode(bytes)?.document)?;
        if document.version > after {
            let stored = StoredRoot { version: document.version, bytes: bytes.to_vec() };
            handle.add_root(&stored, after, &document.to_string(), &who, clock::now_s())?;
            after = document.version;
        }
    }
    print_line!("root document {newest} is published; a running `serve` sends it to the agents within a second");
    Ok(())
}

/// Replaces the published documents by the newest one of the file, whose root keys signed none of them.
fn replace_published(handle: &StoreHandle, file: &RootFile, who: &str) -> anyhow::Result<()> {
    let newest = file.signed()?;
    let held = handle.newest_root()?.map_or(0, |held| held.version);
    ensure!(
        newest.version > held,
        "version {held} is published; create the new document with `keys root new --version {}`",
        held.saturating_add(1)
    );
    let (_, bytes) = file.documents().last().context("the file has no document")?;
    let stored = StoredRoot { version: newest.version, bytes: bytes.to_vec() };
    handle.replace_roots(&stored, &newest.to_string(), who, clock::now_s())?;
    print_line!(
        "root document {newest} replaces all others; agents that trust another keep it until you remove the file `root` from \
         their state folder and enrol them again or set update.root"
    );
    Ok(())
}

/// The published documents; `None` without any.
pub(crate) fn published(handle: &StoreHandle) -> anyhow::Result<Option<RootFile>> {
    let stored = handle.roots(0)?;
    let file = RootFile::of(stored.iter().map(|root| root.bytes.as_slice()))?;
    Ok(Some(file).filter(|file| file.newest().is_ok()))
}

fn show(args: &ShowArgs, now_s: u64) -> anyhow::Result<()> {
    let file = match &args.file {
        Some(path) => Some(load(path)?),
        None => published(&StoreHandle::open(args.store.url()?)?)?,
    };
    let Some(file) = file else {
        print_line!("no root document is published; agents use key files");
        return Ok(());
    };
    file.documents().for_each(|(document, _)| show_document(document, now_s));
    if let Err(error) = file.signed() {
        print_line!("{error}");
    }
    Ok(())
}

fn show_document(document: &RootDocument, now_s: u64) {
    let RootDocument { version, created_s, expires_s, threshold, roots, .. } = document;
    print_line!("root document {version}, created {} UTC{}", Utc(*created_s), end(*expires_s, now_s));
    print_line!("  {threshold} of {} root keys sign:", roots.len());
    roots.iter().for_each(|root| print_line!("    {} {}", root.name, Hex(&root.public)));
    show_keys(document, now_s);
}

/// The end of a key or document, for people.
fn end(until_s: u64, now_s: u64) -> String {
    match until_s {
        0 => String::new(),
        until_s if until_s <= now_s => format!(", ended {} UTC", Utc(until_s)),
        until_s => format!(", until {} UTC", Utc(until_s)),
    }
}

/// The terms of every key.
fn show_keys(document: &RootDocument, now_s: u64) {
    for Grant { name, public, purpose, group, until_s, ceiling } in &document.keys {
        let group = group.as_ref().map_or("every group".to_owned(), |group| format!("group {group}"));
        let ceiling = if *ceiling == 0 { String::new() } else { format!(", up to version {ceiling}") };
        print_line!("  {name}: {purpose} of {group}{ceiling}{}; {}", end(*until_s, now_s), Hex(public));
    }
}
