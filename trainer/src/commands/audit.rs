//! The store → its audit log, and whether it was changed: `audit`.

use super::store_args::StoreArgs;
use anyhow::ensure;
use clap::Args;
use lapwing_common::clock;
use lapwing_common::format::{parse_when, when};
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_shared::release::digest::{Hex, parse_digest};
use lapwing_store::{AuditCheck, AuditFilter, AuditRecord, StoreHandle};
use std::path::PathBuf;

/// Entries that are read at a time.
const PAGE: u32 = 1_000;

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// Only entries from this time on: a date such as 2026-11-21 or 2026-11-21T16:44 (UTC), or seconds since the epoch
    /// [default: none].
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<u64>,
    /// Maximum number of entries.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: u32,
    /// Write the list to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Check that no entry was changed or removed, instead of listing them. Prints the hash of the newest one: keep it
    /// elsewhere for --hash.
    #[arg(long, conflicts_with_all = ["since", "limit", "json"])]
    check: bool,
    /// A hash that --check printed earlier: the check fails if no entry has it, so that a log that was written anew is
    /// noticed [default: none].
    #[arg(long, value_name = "SHA256", requires = "check", value_parser = digest)]
    hash: Option<[u8; 32]>,
}

fn time(text: &str) -> Result<u64, String> {
    parse_when(text).ok_or_else(|| "expected a date such as 2026-11-21 or 2026-11-21T16:44 (UTC), or seconds".into())
}

fn digest(text: &str) -> Result<[u8; 32], String> {
    parse_digest(text).ok_or_else(|| "expected 64 digits and letters a to f".into())
}

/// `audit`.
pub(crate) fn run_audit(args: &AuditArgs) -> anyhow::Result<()> {
    let handle = StoreHandle::open(args.store.url()?)?;
    if args.check {
        return report(&handle.check_audit(args.hash)?);
    }
    let records = read(&handle, args)?;
    if let Some(path) = &args.json {
        return write_json(path, &records);
    }
    if records.is_empty() {
        print_line!("no entries; actions before the upgrade to this version are not recorded");
    }
    for AuditRecord { number, at_s, who, action, object, detail, .. } in &records {
        print_line!("{number:>6}  {} UTC  {who:<16} {action:<13} {object}  {detail}", when(*at_s));
    }
    Ok(())
}

/// The newest entries that the options select, page by page.
fn read(handle: &StoreHandle, args: &AuditArgs) -> anyhow::Result<Vec<AuditRecord>> {
    let mut records = Vec::new();
    let mut filter = AuditFilter { since_s: args.since, ..AuditFilter::default() };
    loop {
        let missing = args.limit.saturating_sub(u32::try_from(records.len())?);
        filter.limit = missing.min(PAGE);
        let page = handle.audit(&filter)?;
        records.extend(page.records);
        filter.before = page.next;
        if page.next.is_none() || missing <= PAGE {
            return Ok(records);
        }
    }
}

fn report(check: &AuditCheck) -> anyhow::Result<()> {
    let AuditCheck { entries, oldest, newest, problems, has_hash } = check;
    problems.iter().for_each(|problem| print_line!("{problem}"));
    if *entries > 0 {
        let (number, now) = (newest.number, when(clock::now_s()));
        print_line!(
            "{entries} entries, {oldest} to {number}, checked {now} UTC; hash of the newest: {}",
            Hex(&newest.sha256)
        );
    }
    ensure!(problems.is_empty(), "the audit log was changed, or its store is damaged; compare it with a backup");
    ensure!(
        *has_hash,
        "no entry has the hash of --hash: the log was written anew, is of another store or an older backup, or the entry \
         was deleted because {} newer ones exist",
        lapwing_fleet::AUDIT_ENTRIES
    );
    if *entries == 0 {
        print_line!("no entries");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::lists::{AgentsArgs, agents};
    use clap::FromArgMatches;
    use lapwing_store::contract::TestStore;
    use lapwing_store::testing::{Folder, received, status};
    use lapwing_store::{Limits, Store, StoreUrl};

    fn parsed<T: Args + FromArgMatches>(words: &[&str]) -> T {
        let command = T::augment_args(clap::Command::new("test").no_binary_name(true));
        T::from_arg_matches(&command.get_matches_from(words)).unwrap()
    }

    /// A store in which `--who ann` moved an agent to groups 1 to `moves`.
    fn stage(moves: u32) -> (Folder, String) {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        store.commit(&[received("gw-1", &status(1))], 5).unwrap();
        let path = folder.store().to_str().unwrap().to_owned();
        let url = StoreUrl::from(folder.store());
        for group in 1..=moves {
            let words = ["group", "gw-1", &format!("group-{group}"), "--who", "ann"];
            agents(&url, &parsed::<AgentsArgs>(&words)).unwrap();
        }
        (folder, path)
    }

    #[test]
    fn actions_are_listed_with_the_person_newest_first() {
        let (folder, store) = stage(3);
        let json = folder.path().join("audit.json");
        let list = |more: &[&str]| -> serde_json::Value {
            let words = [&["--store", &store, "--json", json.to_str().unwrap()], more].concat();
            run_audit(&parsed(&words)).unwrap();
            serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap()
        };
        let all = list(&[]);
        assert_eq!(all.as_array().unwrap().len(), 3);
        assert_eq!((&all[0]["who"], &all[0]["detail"]), (&"ann".into(), &"group group-3".into()));
        assert_eq!((&all[2]["number"], &all[2]["previous"]), (&1.into(), &"0".repeat(64).into()));
        assert_eq!(list(&["--limit", "2"])[1], all[1]);
        assert_eq!(list(&["--since", "2100-01-01"]), serde_json::json!([]));
        run_audit(&parsed(&["--store", &store])).unwrap();
    }

    #[test]
    fn a_check_fails_for_a_changed_entry_and_for_a_hash_that_is_missing() {
        let (folder, store) = stage(2);
        let check = |more: &[&str]| run_audit(&parsed(&[&["--store", &store, "--check"], more].concat()));
        check(&[]).unwrap();
        let newest = StoreHandle::open(folder.store()).unwrap().check_audit(None).unwrap().newest;
        check(&["--hash", &Hex(&newest.sha256).to_string()]).unwrap();
        let error = check(&["--hash", &"a".repeat(64)]).unwrap_err().to_string();
        assert!(error.contains("no entry has the hash"), "{error}");
        folder.execute("UPDATE audit SET who = 'bob' WHERE number = 1");
        let error = check(&[]).unwrap_err().to_string();
        assert!(error.contains("audit log was changed"), "{error}");
        let command = AuditArgs::augment_args(clap::Command::new("test").no_binary_name(true));
        assert!(command.clone().try_get_matches_from(["--hash", &"a".repeat(64)]).is_err());
        assert!(command.try_get_matches_from(["--check", "--hash", "xyz"]).is_err());
    }
}
