//! Arguments of the commands on root documents.

use crate::commands::store_args::StoreArgs;
use clap::{Args, Subcommand, ValueEnum};
use lapwing_shared::units::Span;
use std::path::PathBuf;

/// `keys root`.
#[derive(Debug, Subcommand)]
pub(crate) enum RootCommand {
    /// Create the first root document in a new file, signed with the root keys.
    #[command(
        after_help = "Example:\n  lapwing-trainer keys new root-1\n  lapwing-trainer keys root new site.root --root root-1.key --key site-1.pub"
    )]
    New(NewArgs),
    /// Show the root documents of a file, or those that were published.
    #[command(after_help = "Example:\n  lapwing-trainer keys root show site.root")]
    Show(ShowArgs),
    /// Add a signature to the newest root document of a file.
    #[command(after_help = "Example:\n  lapwing-trainer keys root sign site.root --root root-2.key")]
    Sign {
        /// File of root documents.
        file: PathBuf,
        /// Secret root key. Repeatable.
        #[arg(long = "root", value_name = "FILE", required = true)]
        roots: Vec<PathBuf>,
    },
    /// Replace a root key. The old root keys and the new ones must sign.
    #[command(
        after_help = "Example:\n  lapwing-trainer keys root rotate site.root root-1 root-2.pub --root root-1.key --root root-2.key"
    )]
    Rotate {
        /// File of root documents.
        file: PathBuf,
        /// Name of the root key to replace.
        old: String,
        /// Public file of the new root key.
        new: PathBuf,
        /// Who signs.
        #[command(flatten)]
        signing: Signing,
    },
}

/// `keys root new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// File to create.
    pub(super) file: PathBuf,
    /// Secret root key, as `keys new` makes it, which signs the document now. Keep it offline. Repeatable.
    #[arg(long = "root", value_name = "FILE")]
    pub(super) roots: Vec<PathBuf>,
    /// Public file of a root key that signs later, on another machine, with `keys root sign`. At most 3 root keys in all.
    /// Repeatable.
    #[arg(long = "root-public", value_name = "FILE", required_unless_present = "roots")]
    pub(super) public_roots: Vec<PathBuf>,
    /// Version of the document; above that of the published ones, to replace them with `keys publish --replace-root-keys`.
    #[arg(long, value_name = "VERSION", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) version: u64,
    /// Root keys that must sign each document.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(super) threshold: u8,
    /// Public file of a key for releases, at most 16. Repeatable.
    #[arg(long = "key", value_name = "FILE")]
    pub(super) keys: Vec<PathBuf>,
    /// Time after which agents accept no new release until they get a newer document, e.g. 730d [default: none].
    #[arg(long, value_name = "DURATION")]
    pub(super) expires: Option<Span>,
}

/// `keys root show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// File of root documents [default: those in the store].
    pub(super) file: Option<PathBuf>,
    /// Store.
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// Who signs a new root document.
#[derive(Debug, Args)]
pub(crate) struct Signing {
    /// Secret root key. Repeatable. Without one, `keys root sign` signs the document on another machine.
    #[arg(long = "root", value_name = "FILE")]
    pub(super) roots: Vec<PathBuf>,
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PurposeArg {
    /// Releases.
    Release,
    /// Rollouts of releases.
    Rollout,
}

/// `keys add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// File of root documents.
    pub(super) file: PathBuf,
    /// Public file of the key, as `keys new` makes it.
    pub(super) key: PathBuf,
    /// What it signs [default: as before, or release].
    #[arg(long, value_enum)]
    pub(super) purpose: Option<PurposeArg>,
    /// Only group for which it signs [default: as before, or that of its file, otherwise every group].
    #[arg(long, value_name = "NAME")]
    pub(super) group: Option<String>,
    /// Time for which agents accept new releases that it signs, e.g. 365d [default: as before, or no end].
    #[arg(long = "for", value_name = "DURATION")]
    pub(super) lifetime: Option<Span>,
    /// Highest version that it may sign; 0: no limit [default: as before, or 0].
    #[arg(long, value_name = "VERSION")]
    pub(super) ceiling: Option<u64>,
    /// Who signs.
    #[command(flatten)]
    pub(super) signing: Signing,
}

/// `keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// File of root documents.
    pub(super) file: PathBuf,
    /// Name of the key to withdraw.
    pub(super) old: String,
    /// Public file of the key that gets its purpose and group.
    pub(super) new: PathBuf,
    /// Time for which agents accept new releases that it signs, e.g. 365d [default: no end].
    #[arg(long = "for", value_name = "DURATION")]
    pub(super) lifetime: Option<Span>,
    /// Highest version that it may sign; 0: no limit [default: that of the old key].
    #[arg(long, value_name = "VERSION")]
    pub(super) ceiling: Option<u64>,
    /// Who signs.
    #[command(flatten)]
    pub(super) signing: Signing,
}

/// `keys withdraw`.
#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    /// File of root documents.
    pub(super) file: PathBuf,
    /// Name of the key.
    pub(super) name: String,
    /// Who signs.
    #[command(flatten)]
    pub(super) signing: Signing,
}

/// `keys publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// File of root documents.
    pub(super) file: PathBuf,
    /// Store.
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Replace the published documents by one of other root keys, because the old root keys are lost. Its version must be
    /// higher. Every agent must be given the new document: see docs/keys.md.
    #[arg(long)]
    pub(super) replace_root_keys: bool,
    /// Name of the person who publishes [default: the user's name].
    #[arg(long, value_name = "NAME")]
    pub(super) who: Option<String>,
}
