//! The store → its audit log, and whether it was changed: `audit`.

use super::store_args::StoreArgs;
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use lapwing_common::clock;
use lapwing_common::format::{parse_when, when};
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_fleet::{AuditChain, EXPORT_LINE_BYTES, export_line, one_line, parse_export_line};
use lapwing_shared::release::digest::{Hex, parse_digest};
use lapwing_store::{AuditCheck, AuditFilter, AuditRecord, StoreHandle};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Entries that are read at a time.
const PAGE: u32 = 1_000;

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// What to do with the log [default: list its newest entries].
    #[command(subcommand)]
    command: Option<AuditCommand>,
    /// Only entries of this person, whatever the way, or of this process [default: all].
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only entries with this action, e.g. label or sign-in [default: all].
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
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
    /// The same as `audit verify`.
    #[arg(long, hide = true, conflicts_with_all = ["since", "limit", "json"])]
    check: bool,
    /// The same as `audit verify --hash`.
    #[arg(long, hide = true, value_name = "SHA256", requires = "check", value_parser = digest)]
    hash: Option<[u8; 32]>,
}

/// What to do with the log.
#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Write every entry with its hash, oldest first, one JSON object a line, to keep elsewhere.
    #[command(after_help = "Example:\n  lapwing-trainer audit export --out audit.jsonl --store store.sqlite")]
    Export {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// New file; `-` is standard output.
        #[arg(long, value_name = "FILE", default_value = "-")]
        out: PathBuf,
    },
    /// Check that no entry was changed or removed. Prints the hash of the newest one: keep it elsewhere for --hash.
    #[command(
        after_help = "Examples:\n  lapwing-trainer audit verify --store store.sqlite\n  lapwing-trainer audit verify --file audit.jsonl"
    )]
    Verify {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Check this export instead of the store [default: none].
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// A hash that an earlier check printed: the check fails if no entry has it, so that a log that was written anew is
        /// noticed [default: none].
        #[arg(long, value_name = "SHA256", value_parser = digest)]
        hash: Option<[u8; 32]>,
    },
}

fn time(text: &str) -> Result<u64, String> {
    parse_when(text).ok_or_else(|| "expected a date such as 2026-11-21 or 2026-11-21T16:44 (UTC), or seconds".into())
}

fn digest(text: &str) -> Result<[u8; 32], String> {
    parse_digest(text).ok_or_else(|| "expected 64 digits and letters a to f".into())
}

/// `audit`.
pub(crate) fn run_audit(args: &AuditArgs) -> anyhow::Result<()> {
    let url = |own: &StoreArgs| if own.store.is_some() || own.config.is_some() { own.url() } else { args.store.url() };
    match &args.command {
        Some(AuditCommand::Export { store, out }) => return export(&StoreHandle::open(url(store)?)?, out),
        Some(AuditCommand::Verify { file: Some(file), hash, .. }) => return report(&check_file(file, *hash)?),
        Some(AuditCommand::Verify { store, file: None, hash }) => {
            return report(&StoreHandle::open(url(store)?)?.check_audit(*hash)?);
        }
        None => {}
    }
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
        let [who, object, detail] = [who, object, detail].map(|text| one_line(text));
        print_line!("{number:>6}  {} UTC  {who:<16} {action:<13} {object}  {detail}", when(*at_s));
    }
    Ok(())
}

/// The newest entries that the options select, page by page.
fn read(handle: &StoreHandle, args: &AuditArgs) -> anyhow::Result<Vec<AuditRecord>> {
    let mut records = Vec::new();
    let (who, action) = (args.who.clone(), args.action.clone());
    let mut filter = AuditFilter { since_s: args.since, who, action, ..AuditFilter::default() };
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

/// Writes every entry as a line, page by page.
fn export(handle: &StoreHandle, out: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", out.display());
    let is_stdout = out == Path::new("-");
    let mut to: Box<dyn Write> = match is_stdout {
        true => Box::new(std::io::stdout().lock()),
        false => Box::new(BufWriter::new(File::create_new(out).with_context(context)?)),
    };
    let (mut after, mut count) = (0, 0_u64);
    loop {
        let records = handle.audit_after(after, PAGE)?;
        let Some(last) = records.last() else { break };
        after = last.number;
        for record in &records {
            writeln!(to, "{}", export_line(record)?).with_context(context)?;
            count += 1;
        }
    }
    to.flush().with_context(context)?;
    if !is_stdout {
        print_line!("exported {count} entries to {}", out.display());
    }
    Ok(())
}

/// Checks the lines of an export. Each line is limited, as someone may have made the file.
fn check_file(path: &Path, sought: Option<[u8; 32]>) -> anyhow::Result<AuditCheck> {
    let context = || format!("cannot read {}", path.display());
    let mut from = BufReader::new(File::open(path).with_context(context)?);
    let (mut chain, mut newest, mut line) = (AuditChain::new(sought), None, Vec::new());
    for number in 1_u64.. {
        line.clear();
        let read =
            from.by_ref().take(EXPORT_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line).with_context(context)?;
        if read == 0 {
            break;
        }
        let place = || format!("{} line {number}", path.display());
        let text = std::str::from_utf8(&line).with_context(place)?.trim_end();
        let record = parse_export_line(text).map_err(anyhow::Error::msg).with_context(place)?;
        chain.add(&record);
        newest = Some(record.head());
    }
    // The end of an export is not marked: only a later one, or a noted hash, shows that lines are missing there.
    Ok(chain.finish(newest))
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
    fn an_export_is_checked_and_a_changed_or_missing_line_is_found() {
        let (folder, store) = stage(3);
        let out = folder.path().join("audit.jsonl");
        let export = || run_audit(&parsed(&["export", "--store", &store, "--out", out.to_str().unwrap()]));
        export().unwrap();
        assert!(export().is_err(), "an earlier export is not overwritten");
        let verify = || run_audit(&parsed(&["verify", "--file", out.to_str().unwrap()]));
        verify().unwrap();
        let text = std::fs::read_to_string(&out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (changed, problem) in [
            (text.replacen("ann", "bob", 1), "line 1"),
            (format!("{}\n{}\n", lines[0], lines[2]), "was changed, or its store is damaged"),
            ("x\n".to_owned(), "line 1"),
            ("x".repeat(EXPORT_LINE_BYTES + 9), "expected at most"),
        ] {
            std::fs::write(&out, changed).unwrap();
            let error = format!("{:#}", verify().unwrap_err());
            assert!(error.contains(problem), "{error}");
        }
        run_audit(&parsed(&["verify", "--store", &store])).unwrap();
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
