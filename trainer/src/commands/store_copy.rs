//! `store copy`: a whole store → a file or a database of the same kind or the other one.

use anyhow::Context;
use clap::Args;
use lapwing_common::print_line;
use lapwing_store::{CopyStep, StoreCopy, StoreUrl};
use std::path::absolute;

/// Rows between two lines about a table.
const REPORTED_ROWS: u64 = 100_000;

/// `store copy`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Store to copy, which stays as it is: a path, sqlite:PATH or postgres://…. Stop every `serve` that uses it.
    #[arg(long, value_name = "STORE")]
    from: StoreUrl,
    /// New store: a path where no file is, or the address of a new database; or the unfinished copy of the same store.
    #[arg(long, value_name = "STORE")]
    to: StoreUrl,
    /// Folder or bucket for the copied segments, as in store.segments [default: beside an SQLite file].
    #[arg(long, value_name = "PLACE")]
    segments: Option<String>,
}

/// `store copy`.
pub(crate) fn run_copy(args: &CopyArgs) -> anyhow::Result<()> {
    let (from, to) = (&args.from, &args.to);
    let copy = StoreCopy::open(from, to, place(args)?.as_deref())?;
    let mut progress = Progress::default();
    let done = copy.run(&mut |step| {
        if let Some(line) = progress.line(step) {
            print_line!("{line}");
        }
        true
    })?;
    let done = done.with_context(|| format!("{to} is an unfinished copy; run this command again"))?;
    let what = if done.was_complete { "is already" } else { "is now" };
    print_line!("{to} {what} a complete copy of {from}: {} rows, {} segments", done.rows, done.segments);
    Ok(())
}

/// Where the segments of the copy belong. The programs that use a database may run in other folders.
fn place(args: &CopyArgs) -> anyhow::Result<Option<String>> {
    let Some(place) = &args.segments else { return Ok(None) };
    if matches!(args.to, StoreUrl::Sqlite(_)) || place.starts_with("s3://") {
        return Ok(Some(place.clone()));
    }
    let path = absolute(place).with_context(|| format!("--segments {place}"))?;
    Ok(Some(path.into_os_string().into_string().ok().with_context(|| format!("--segments {place}: not UTF-8"))?))
}

/// What was printed last.
#[derive(Default)]
struct Progress {
    printed: Option<(&'static str, &'static str, u64)>,
}

impl Progress {
    /// The line to print: when a table or the segments are done, and every [`REPORTED_ROWS`] rows.
    fn line(&mut self, step: CopyStep) -> Option<String> {
        let (table, what, done, all, every) = match step {
            CopyStep::Segments { done, all } => ("segments", "files copied", done, all, 100),
            CopyStep::Rows { table, done, all } => (table, "rows copied", done, all, REPORTED_ROWS),
            CopyStep::Compared { table, done, all } => (table, "rows compared", done, all, REPORTED_ROWS),
        };
        let before = self.printed.filter(|(of, how, _)| (*of, *how) == (table, what)).map_or(0, |(_, _, done)| done);
        if done < all && done < before.saturating_add(every) {
            return None;
        }
        self.printed = Some((table, what, done));
        Some(format!("{table}: {done} of {all} {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::store_args::StoreArgs;
    use crate::commands::store_state::{StoreCommand, run_store};
    use lapwing_store::testing::{Folder, own_samples, received};
    use lapwing_store::{Limits, Store, StoreHandle};

    #[test]
    fn a_line_for_each_finished_table_and_for_every_100_000_rows() {
        let mut progress = Progress::default();
        let mut lines = |done: &[u64]| {
            let step = |done: &u64| CopyStep::Rows { table: "alerts", done: *done, all: 250_000 };
            done.iter().filter_map(|done| progress.line(step(done))).collect::<Vec<_>>()
        };
        assert_eq!(lines(&[512, 99_999]), [""; 0]);
        assert_eq!(lines(&[100_352, 200_000]), ["alerts: 100352 of 250000 rows copied"]);
        assert_eq!(lines(&[200_500, 250_000]).len(), 2);
        let compared = progress.line(CopyStep::Compared { table: "alerts", done: 512, all: 512 });
        assert_eq!(compared.unwrap(), "alerts: 512 of 512 rows compared");
    }

    #[test]
    fn a_copied_store_passes_the_check_and_a_second_store_does_not_replace_it() {
        let folder = Folder::new();
        let path = |name: &str| folder.path().join(name);
        for name in ["old", "other"] {
            let mut store = Store::open(path(name), Limits::default()).unwrap();
            store.commit(&[received("gw", &own_samples(1, 1, &[(1, false)]))], 5).unwrap();
        }
        let args = |from: &str| CopyArgs { from: path(from).into(), to: path("new").into(), segments: None };
        run_copy(&args("old")).unwrap();
        run_copy(&args("old")).unwrap();
        let error = run_copy(&args("other")).unwrap_err().to_string();
        assert!(error.contains("copy to a new file"), "{error}");
        run_store(&StoreCommand::Check(StoreArgs { config: None, store: Some(path("new").into()) })).unwrap();
        let counts = |name| StoreHandle::open(path(name)).unwrap().message_counts().unwrap();
        assert_eq!(counts("new"), counts("old"));
    }

    #[test]
    fn a_relative_folder_of_segments_is_made_absolute_for_a_database_only() {
        let place = |to: &str, segments: &str| {
            let args = CopyArgs {
                from: "old.sqlite".parse().unwrap(),
                to: to.parse().unwrap(),
                segments: Some(segments.into()),
            };
            super::place(&args).unwrap().unwrap()
        };
        assert_eq!(place("new.sqlite", "rows"), "rows");
        assert_eq!(place("postgres://hub/fleet", "s3://bucket/rows"), "s3://bucket/rows");
        assert!(place("postgres://hub/fleet", "rows").starts_with('/'));
    }
}
