//! The commands on root documents, with files as operators have them.

use super::roots::{load, published};
use super::*;
use clap::FromArgMatches;
use lapwing_pipeline::release::roots::RootFile;
use lapwing_shared::release::root::{Purpose, RootDocument};
use lapwing_store::testing::Folder;
use lapwing_store::{AuditFilter, Limits, Store};

/// Runs `keys` with these words in a folder, where words that begin with `@` are files.
fn run(folder: &Folder, line: &str) -> Result<(), String> {
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let words = line.split(' ').map(|word| word.strip_prefix('@').map_or(word.to_owned(), path));
    let command = KeysCommand::augment_subcommands(clap::Command::new("keys").no_binary_name(true));
    let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
    run_keys(KeysCommand::from_arg_matches(&matches).unwrap()).map_err(|error| format!("{error:#}"))
}

fn keys(folder: &Folder, names: &[&str]) {
    for name in names {
        run(folder, &format!("new {name} --secret @{name}.key --public @{name}.pub")).unwrap();
    }
}

fn read(folder: &Folder) -> RootFile {
    load(&folder.path().join("site.root")).unwrap()
}

#[test]
fn an_operator_adds_rotates_withdraws_and_publishes_keys() {
    let folder = Folder::new();
    let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
    keys(&folder, &["root-1", "site-1", "site-2", "rollout"]);
    run(&folder, "root new @site.root --root @root-1.key --key @site-1.pub --expires 730d").unwrap();
    let store = folder.store();
    let publish = format!("publish @site.root --who ann --store {}", store.display());
    run(&folder, &publish).unwrap();
    assert!(run(&folder, &publish).unwrap_err().contains("version 1 is published already"));
    run(&folder, "add @site.root @rollout.pub --purpose rollout --group home --root @root-1.key").unwrap();
    run(&folder, "add @site.root @site-1.pub --ceiling 900 --for 365d --root @root-1.key").unwrap();
    let newest = read(&folder).newest().unwrap().clone();
    assert_eq!((newest.version, newest.to_string().as_str()), (3, "version 3: rollout site-1"));
    let grant = |root: &RootDocument, name: &str| root.grant(&name.try_into().unwrap()).cloned();
    let [rollout, site] = ["rollout", "site-1"].map(|name| grant(&newest, name).unwrap());
    assert_eq!((rollout.purpose, rollout.group.as_deref()), (Purpose::Rollout, Some("home")));
    assert_eq!((site.ceiling, site.until_s - newest.created_s, newest.expires_s > 0), (900, 365 * 86_400, true));
    run(&folder, "rotate @site.root site-1 @site-2.pub --root @root-1.key").unwrap();
    let rotated = read(&folder).newest().unwrap().clone();
    assert_eq!((grant(&rotated, "site-1"), grant(&rotated, "site-2").unwrap().ceiling), (None, 900));
    run(&folder, "withdraw @site.root rollout --root @root-1.key").unwrap();
    run(&folder, &publish).unwrap();
    assert_eq!(published(&handle).unwrap().unwrap().newest().unwrap().to_string(), "version 5: site-2");
    let records = handle.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap().records;
    assert!(records.iter().all(|record| record.action == "publish-root" && record.who == "ann"), "{records:?}");
    run(&folder, "root show @site.root").unwrap();
    run(&folder, &format!("root show --store {}", store.display())).unwrap();
}

#[test]
fn a_key_keeps_the_terms_that_a_command_does_not_name() {
    let folder = Folder::new();
    keys(&folder, &["root-1", "site-1", "rollout"]);
    run(&folder, "root new @site.root --root @root-1.key --key @site-1.pub").unwrap();
    run(&folder, "add @site.root @rollout.pub --purpose rollout --group home --for 365d --root @root-1.key").unwrap();
    let grant = || read(&folder).newest().unwrap().grant(&"rollout".try_into().unwrap()).cloned().unwrap();
    let before = grant();
    run(&folder, "add @site.root @rollout.pub --ceiling 3 --root @root-1.key").unwrap();
    assert_eq!(grant(), lapwing_shared::release::root::Grant { ceiling: 3, ..before.clone() });
    run(&folder, "add @site.root @rollout.pub --group shop --ceiling 0 --root @root-1.key").unwrap();
    assert_eq!((grant().group.as_deref(), grant().ceiling, grant().purpose), (Some("shop"), 0, before.purpose));
    assert_eq!(grant().until_s, before.until_s);
}

#[test]
fn lost_root_keys_are_replaced_by_a_document_with_a_higher_version() {
    let folder = Folder::new();
    let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
    keys(&folder, &["root-1", "root-2", "root-3", "site-1"]);
    run(&folder, "root new @site.root --root @root-1.key --key @site-1.pub").unwrap();
    let publish = format!("publish @site.root --store {}", folder.store().display());
    run(&folder, &publish).unwrap();
    // Two of three root keys are on other machines.
    let new = "root new @new.root --root-public @root-2.pub --root-public @root-3.pub --threshold 2 --key @site-1.pub";
    run(&folder, new).unwrap();
    let publish = publish.replace("site.root", "new.root") + " --replace-root-keys";
    assert!(run(&folder, &publish).unwrap_err().contains("not signed by enough root keys"));
    for root in ["root-2", "root-3"] {
        run(&folder, &format!("root sign @new.root --root @{root}.key")).unwrap();
    }
    assert!(run(&folder, &publish).unwrap_err().contains("`keys root new --version 2`"));
    std::fs::remove_file(folder.path().join("new.root")).unwrap();
    run(&folder, &format!("{new} --version 2")).unwrap();
    for root in ["root-2", "root-3"] {
        run(&folder, &format!("root sign @new.root --root @{root}.key")).unwrap();
    }
    run(&folder, &publish).unwrap();
    let published = published(&handle).unwrap().unwrap();
    assert_eq!((published.documents().count(), published.newest().unwrap().roots.len()), (1, 2));
}

#[test]
fn a_new_root_key_is_signed_on_two_machines_before_it_is_published() {
    let folder = Folder::new();
    let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
    keys(&folder, &["root-1", "root-2", "site-1", "thief"]);
    run(&folder, "root new @site.root --root @root-1.key --key @site-1.pub").unwrap();
    let publish = format!("publish @site.root --store {}", folder.store().display());
    run(&folder, &publish).unwrap();
    // Whoever made another root key changes nothing.
    run(&folder, "root new @other.root --root @thief.key").unwrap();
    let foreign = run(&folder, &publish.replace("site.root", "other.root")).unwrap_err();
    assert!(foreign.contains("published already"), "{foreign}");
    run(&folder, "add @other.root @thief.pub --root @thief.key").unwrap_err();
    run(&folder, "add @other.root @site-1.pub --root @thief.key").unwrap();
    let foreign = run(&folder, &publish.replace("site.root", "other.root")).unwrap_err();
    assert!(foreign.contains("not signed by enough root keys of version 1"), "{foreign}");
    run(&folder, "root rotate @site.root root-1 @root-2.pub --root @root-2.key").unwrap();
    assert!(run(&folder, &publish).unwrap_err().contains("keys root sign"));
    assert!(run(&folder, "root sign @site.root --root @thief.key").unwrap_err().contains("thief is not a root key"));
    run(&folder, "root sign @site.root --root @root-1.key").unwrap();
    run(&folder, &publish).unwrap();
    let withdraw = "withdraw @site.root site-1";
    assert!(run(&folder, &format!("{withdraw} --root @root-1.key")).unwrap_err().contains("root-1 is not a root key"));
    run(&folder, withdraw).unwrap();
    assert!(run(&folder, &publish).unwrap_err().contains("not signed by enough root keys"));
    run(&folder, "root sign @site.root --root @root-2.key").unwrap();
    run(&folder, &publish).unwrap();
    assert_eq!(handle.newest_root().unwrap().unwrap().version, 3);
}

#[test]
fn mistakes_name_what_is_wrong() {
    let folder = Folder::new();
    keys(&folder, &["root-1", "site-1"]);
    run(&folder, "new local --secret @local.key --public @local.pub --use file").unwrap();
    let alias = std::fs::read_to_string(folder.path().join("site-1.pub")).unwrap().replace("site-1", "alias");
    std::fs::write(folder.path().join("alias.pub"), alias).unwrap();
    run(&folder, "root new @site.root --root @root-1.key --key @site-1.pub").unwrap();
    let before = std::fs::read(folder.path().join("site.root")).unwrap();
    for (line, expected) in [
        ("root new @site.root --root @root-1.key", "already exists"),
        ("withdraw @site.root site-9 --root @root-1.key", "no key site-9; it has site-1"),
        ("rotate @site.root site-1 @site-1.pub --root @root-1.key", "is the key site-1 itself"),
        ("add @site.root @local.pub --root @root-1.key", "for release files"),
        ("add @site.root @alias.pub --root @root-1.key", "this key already, under the name site-1"),
        ("add @site.root @root-1.pub --root @root-1.key", "no root keys"),
        ("add @site.root @site-1.pub --group a! --root @root-1.key", "group \"a!\": expected"),
        ("root rotate @site.root root-9 @site-1.pub --root @root-1.key", "no root key root-9"),
        ("withdraw @site-1.pub site-1 --root @root-1.key", "root documents"),
        ("withdraw @none.root site-1 --root @root-1.key", "none.root"),
    ] {
        let error = run(&folder, line).unwrap_err();
        assert!(error.contains(expected), "{line}: {error}");
    }
    assert_eq!(std::fs::read(folder.path().join("site.root")).unwrap(), before, "nothing was changed");
}
