//! `store`: a store → its problems, or the current schema version; feature rows are in `store_rows`, copies in `store_copy`.

use super::backup::{SEGMENTS, STORE};
use super::store_args::StoreArgs;
use super::store_copy::{CopyArgs, run_copy};
use super::store_rows::{ExportArgs, ImportArgs, export, import};
use anyhow::ensure;
use clap::{Args, Subcommand};
use lapwing_common::{clock, print_line};
use lapwing_segments::{Folder, verify};
use lapwing_store::{BACKUP_VERSIONS, StoreHandle, StoreUrl, StoredSegment};
use std::sync::Arc;

/// Newest releases that are read to find the highest version.
const RELEASES_READ: u32 = 10_000;

/// Actions on a whole store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Check every page, whether counts and derived columns match the rows, and every segment; also while `serve` runs. Also
    /// checks the folder of a backup.
    #[command(
        after_help = "Examples:\n  lapwing-trainer store check --store /var/lib/lapwing-trainer/store.sqlite\n  lapwing-trainer store check --store /mnt/backup/2026-03-01"
    )]
    Check(StoreArgs),
    /// Migrate the store of an older version, which `serve` also does when it starts. Make a backup first.
    #[command(after_help = "Example:\n  lapwing-trainer store migrate --config /etc/lapwing-trainer/trainer.toml")]
    Migrate(StoreArgs),
    /// Prepare a database that was restored with pg_restore, before `serve` uses it: the next releases skip the versions that
    /// agents may have received since the dump. `restore` does this for SQLite.
    #[command(after_help = "Example:\n  lapwing-trainer store restored --store postgres://lapwing@localhost/lapwing")]
    Restored(StoreArgs),
    /// Copy a whole store to a new file or database, e.g. to move from SQLite to PostgreSQL. Interrupted, it continues when it
    /// is run again.
    #[command(
        after_help = "Example:\n  lapwing-trainer store copy --from /var/lib/lapwing-trainer/store.sqlite --to postgres://lapwing@localhost/lapwing --segments /var/lib/lapwing-trainer/rows"
    )]
    Copy(CopyArgs),
    /// Copy the feature rows to a folder of Parquet files, also while `serve` runs. Repeated, it adds the newer rows.
    #[command(
        after_help = "Example:\n  lapwing-trainer store export --out rows --store /var/lib/lapwing-trainer/store.sqlite"
    )]
    Export(ExportArgs),
    /// Add the feature rows of such a folder to a store that no `serve` uses. Rows that the store has received are
    /// skipped.
    #[command(after_help = "Example:\n  lapwing-trainer store import rows --store new.sqlite")]
    Import(ImportArgs),
    /// Remove a segment whose file is lost or damaged, with all its rows, so that training does not need it any more.
    #[command(
        after_help = "Example:\n  lapwing-trainer store drop-segment segment-1767225600-0123456789abcdef.parquet --store store.sqlite"
    )]
    DropSegment(DropArgs),
}

/// `store drop-segment`.
#[derive(Debug, Args)]
pub(crate) struct DropArgs {
    /// File name of the segment, as `store check` and errors print it.
    file: String,
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
}

/// `store`.
pub(crate) fn run_store(command: &StoreCommand) -> anyhow::Result<()> {
    match command {
        StoreCommand::Check(args) => check(args),
        StoreCommand::Migrate(args) => migrate(args),
        StoreCommand::Restored(args) => restored(args),
        StoreCommand::Copy(args) => run_copy(args),
        StoreCommand::Export(args) => export(args),
        StoreCommand::Import(args) => import(args),
        StoreCommand::DropSegment(args) => drop_segment(args),
    }
}

fn drop_segment(args: &DropArgs) -> anyhow::Result<()> {
    let url = args.store.url()?;
    let rows = StoreHandle::open(&url)?.drop_segment(&args.file, clock::now_s())?;
    print_line!("{url}: removed {} with {rows} rows", args.file);
    Ok(())
}

/// Compares every segment with its digest; returns their number and the problems.
fn check_segments(handle: &StoreHandle) -> anyhow::Result<(usize, Vec<String>)> {
    let segments = handle.segments(None)?;
    let mut problems = Vec::new();
    for StoredSegment { segment, .. } in &segments {
        if let Err(error) = verify(handle.place()?.as_ref(), segment) {
            problems.push(format!(
                "{error}; if there is no backup, run `lapwing-trainer store drop-segment {}`",
                segment.file
            ));
        }
    }
    Ok((segments.len(), problems))
}

/// Opens a store, or the one in the folder of a backup, whose segments are in the same folder whatever its settings are.
fn open(url: StoreUrl) -> anyhow::Result<(StoreUrl, StoreHandle)> {
    match &url {
        StoreUrl::Sqlite(folder) if folder.is_dir() => {
            let store = folder.join(STORE);
            ensure!(store.exists(), "{url} is a folder without {STORE}: it is not a backup");
            let place = Arc::new(Folder::existing(&folder.join(SEGMENTS)));
            Ok((StoreUrl::from(&store), StoreHandle::open_reading(store)?.with_place(place)))
        }
        _ => {
            let handle = StoreHandle::open_reading(&url)?;
            Ok((url, handle))
        }
    }
}

fn check(args: &StoreArgs) -> anyhow::Result<()> {
    let (url, handle) = open(args.url()?)?;
    let mut problems = handle.check()?;
    let (segments, more) = check_segments(&handle)?;
    problems.extend(more);
    problems.iter().for_each(|problem| print_line!("{url}: {problem}"));
    ensure!(
        problems.is_empty(),
        "{url} has problems; restore a backup, or run this command again with a newer version"
    );
    let [alerts, batches, updates] = handle.message_counts()?;
    let version = handle.version()?;
    print_line!(
        "{url}: schema version {version}, {alerts} alert messages, {batches} sample batches, {updates} update reports, \
         {segments} segments; no problems"
    );
    Ok(())
}

fn migrate(args: &StoreArgs) -> anyhow::Result<()> {
    let url = args.url()?;
    let before = StoreHandle::open_reading(&url)?.version()?;
    let after = StoreHandle::open(&url)?.version()?;
    match before == after {
        true => print_line!("{url}: schema version {after} is current"),
        false => print_line!("{url}: migrated from schema version {before} to {after}"),
    }
    Ok(())
}

/// What a backup revives.
pub(super) const RESTORED_PEOPLE: &str = "sessions and links are ended; people, roles, passwords and tokens are those of the \
     backup: check `lapwing-trainer people list` and `tokens list` for what was removed since";

fn restored(args: &StoreArgs) -> anyhow::Result<()> {
    let url = args.url()?;
    let handle = StoreHandle::open(&url)?;
    let newest = handle.all_releases(RELEASES_READ)?.iter().map(|release| release.version).max().unwrap_or(0);
    handle.settle_restored(newest)?;
    print_line!("{url}: the next release has a version above {}", newest.saturating_add(BACKUP_VERSIONS));
    print_line!("{RESTORED_PEOPLE}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_segments::{Limits as SegmentLimits, Row};
    use lapwing_shared::messages::AlertState;
    use lapwing_store::old_store::{OLD_VERSIONS, write_old_store};
    use lapwing_store::testing::{Folder as Temporary, alert, own_samples, received};
    use lapwing_store::{Compactor, Counter, Limits, Release, Store};

    #[test]
    fn an_old_store_is_migrated_and_passes_the_check() {
        let new = Temporary::new();
        let newest = Store::open(new.store(), Limits::default()).unwrap().handle().unwrap().version().unwrap();
        for version in OLD_VERSIONS {
            let folder = Temporary::new();
            let messages = [received("gw", &alert(1, 1, 5, AlertState::Opened, (1, 2)))];
            write_old_store(&folder.store(), version, &messages, 5, &[], [0, 0]);
            let args = || StoreArgs { config: None, store: Some(folder.store().into()) };
            let version_now = || StoreHandle::open_reading(folder.store()).unwrap().version().unwrap();
            assert_eq!(version_now() as usize, version);
            let error = run_store(&StoreCommand::Check(args())).unwrap_err().to_string();
            assert!(error.contains("store migrate"), "{error}");
            run_store(&StoreCommand::Migrate(args())).unwrap();
            assert_eq!(version_now(), newest);
            run_store(&StoreCommand::Check(args())).unwrap();
            run_store(&StoreCommand::Migrate(args())).unwrap();
        }
    }

    #[test]
    fn a_restored_store_skips_the_versions_that_agents_may_have() {
        let folder = Temporary::new();
        let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
        for version in [7, 9, 8] {
            let (group, file) = (String::from("home"), "home.lwr".into());
            let release = Release { group, version, manifest_sha256: [0; 32], made_s: 5, file, reason: None };
            handle.add_release(&release, "serve", 5).unwrap();
        }
        let args = StoreArgs { config: None, store: Some(folder.store().into()) };
        run_store(&StoreCommand::Restored(args)).unwrap();
        assert_eq!(handle.counter(Counter::ReleaseVersionFloor).unwrap(), 9 + BACKUP_VERSIONS);
    }

    #[test]
    fn a_damaged_or_missing_segment_is_reported_and_can_be_dropped() {
        let folder = Temporary::new();
        let args = || StoreArgs { config: None, store: Some(folder.store().into()) };
        let batch = |number| received("gw", &own_samples(1, number, &[(number, false)]));
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        store.commit(&[batch(1), batch(2)], 5).unwrap();
        let limits = SegmentLimits { bytes: size_of::<Row>() as u64, age_s: 300 };
        let handle = || StoreHandle::open(folder.store()).unwrap();
        Compactor::new(handle(), limits, "home").pass(5, &mut |_| true).unwrap();
        run_store(&StoreCommand::Check(args())).unwrap();
        let place = handle().segments_folder().unwrap().unwrap();
        let files: Vec<String> = handle().segments(None).unwrap().into_iter().map(|one| one.segment.file).collect();
        let mut bytes = std::fs::read(place.join(&files[0])).unwrap();
        bytes[100] ^= 1;
        std::fs::write(place.join(&files[0]), bytes).unwrap();
        std::fs::remove_file(place.join(&files[1])).unwrap();
        let problems = check_segments(&handle()).unwrap().1;
        assert!(problems[0].contains("has SHA-256") && problems[0].contains("store drop-segment"), "{problems:?}");
        assert!(problems[1].contains(&files[1]) && problems[1].contains("No such file"), "{problems:?}");
        assert!(run_store(&StoreCommand::Check(args())).is_err());
        for file in files {
            run_store(&StoreCommand::DropSegment(DropArgs { file, store: args() })).unwrap();
        }
        run_store(&StoreCommand::Check(args())).unwrap();
    }
}
