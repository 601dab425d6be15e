//! A release that is signed on another machine.

use super::*;
use crate::commands::approve::{ApproveArgs, run_approve};
use crate::serve::testing::held_unexpired as held;
use clap::FromArgMatches;
use lapwing_shared::release::signature::KeyUse;
use lapwing_shared::release::testing::{grant, root, signed_root};
use lapwing_store::testing::Folder;
use lapwing_store::traits::StoredRoot;
use lapwing_store::{Limits, Store};

/// A server whose release 4 of group home waits, and the key `k1` of seed 1 on another machine.
struct Site {
    folder: Folder,
    handle: StoreHandle,
}

fn site() -> Site {
    let folder = Folder::new();
    let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
    std::fs::write(folder.path().join("home-4.held"), held(4)).unwrap();
    let waiting = HeldRelease {
        group: "home".into(),
        version: 4,
        made_s: 5,
        file: folder.path().join("home-4.held"),
        reason: "schedule".into(),
        findings: String::new(),
        state: HeldState::Waiting,
        who: None,
    };
    handle.hold_release(&waiting).unwrap();
    let config =
        format!("[store]\npath = '{}'\n[retrain]\ngroup = 'home'\nsign = 'elsewhere'\n", folder.store().display());
    std::fs::write(folder.path().join("trainer.toml"), config).unwrap();
    for (name, seed) in [("k1", 1), ("k2", 2)] {
        let key = ReleaseKey::from_secret(name, &[seed; 32]).unwrap();
        let path = |ending: &str| folder.path().join(format!("{name}.{ending}"));
        key.save(&path("key"), &path("pub"), KeyUse::Any, None).unwrap();
    }
    Site { folder, handle }
}

impl Site {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> StoreArgs {
        StoreArgs { config: Some(self.path("trainer.toml")), store: None }
    }

    /// Carries the candidate to the other machine and signs it there.
    fn sign(&self, key: &str) -> PathBuf {
        let candidate = self.path(&format!("candidate-for-{key}"));
        run_candidate(&CandidateArgs { version: 4, out: candidate.clone(), group: None, store: self.store() }).unwrap();
        let out = self.path(&format!("signed-with-{key}"));
        run_sign(&SignArgs { file: candidate, key: self.path(&format!("{key}.key")), floor: None, out: out.clone() })
            .unwrap();
        out
    }

    fn approve(&self, more: &[&str]) -> Result<(), String> {
        let command = ApproveArgs::augment_args(clap::Command::new("approve").no_binary_name(true));
        let config = self.path("trainer.toml");
        let words = [&["4", "--config", config.to_str().unwrap(), "--who", "ann"], more].concat();
        let args = ApproveArgs::from_arg_matches(&command.get_matches_from(words)).unwrap();
        run_approve(&args).map_err(|error| format!("{error:#}"))
    }

    fn approve_signed(&self, signed: &Path, more: &[&str]) -> Result<(), String> {
        self.approve(&[&["--signed", signed.to_str().unwrap()], more].concat())
    }
}

#[test]
fn a_release_signed_elsewhere_is_approved_if_agents_will_accept_it() {
    let site = site();
    assert!(site.approve(&[]).unwrap_err().contains("lapwing-trainer candidate 4"));
    let (own, foreign) = (site.sign("k1"), site.sign("k2"));
    assert!(site.approve_signed(&own, &[]).unwrap_err().contains("no key to check the signature with"));
    let public = site.path("k1.pub");
    let key = ["--key", public.to_str().unwrap()];
    assert!(site.approve_signed(&foreign, &key).unwrap_err().contains("signed with key k2"));
    // A root document replaces key files, here as on agents.
    let document =
        lapwing_shared::release::root::RootDocument { keys: [grant("k2", 2)].into_iter().collect(), ..root(1) };
    let stored = StoredRoot { version: 1, bytes: signed_root(&document, &[9]) };
    site.handle.add_root(&stored, 0, "", "ann", 1).unwrap();
    assert!(site.approve_signed(&own, &key).unwrap_err().contains("signed with key k1"));
    site.approve_signed(&foreign, &[]).unwrap();
    let approved = site.handle.approved_release("home").unwrap().unwrap();
    assert_eq!((approved.version, approved.who.as_deref()), (4, Some("ann")));
    assert_eq!(std::fs::read(site.path("home-4.signed")).unwrap(), std::fs::read(foreign).unwrap());
}

#[test]
fn candidate_and_sign_replace_no_file() {
    let site = site();
    let [candidate, out] = ["release", "signed"].map(|name| site.path(name));
    std::fs::write(&candidate, "mine").unwrap();
    let args = CandidateArgs { version: 4, out: candidate.clone(), group: None, store: site.store() };
    let error = run_candidate(&args).unwrap_err().to_string();
    assert!(error.contains("release already exists; remove it"), "{error}");
    assert_eq!(std::fs::read(&candidate).unwrap(), b"mine");
    std::fs::remove_file(&candidate).unwrap();
    run_candidate(&args).unwrap();
    let args = SignArgs { file: candidate, key: site.path("k1.key"), floor: None, out: out.clone() };
    run_sign(&args).unwrap();
    assert!(run_sign(&args).unwrap_err().to_string().contains("signed already exists"));
}

#[test]
fn the_signature_may_set_a_floor_that_the_candidate_has_not() {
    let site = site();
    let candidate = site.path("candidate");
    run_candidate(&CandidateArgs { version: 4, out: candidate.clone(), group: None, store: site.store() }).unwrap();
    let sign = |floor: u64| {
        let out = site.path(&format!("signed-{floor}"));
        let (file, key) = (candidate.clone(), site.path("k1.key"));
        run_sign(&SignArgs { file, key, floor: Some(floor), out: out.clone() }).map(|()| out)
    };
    let error = format!("{:#}", sign(4).unwrap_err());
    assert!(error.contains("floor") && error.contains("below version"), "{error}");
    let (signed, public) = (sign(3).unwrap(), site.path("k1.pub"));
    assert_eq!(read(&std::fs::read(&signed).unwrap()).unwrap().1.floor, 3);
    site.approve_signed(&signed, &["--key", public.to_str().unwrap()]).unwrap();
}

#[test]
fn another_release_and_a_changed_one_are_refused() {
    let site = site();
    let signed = site.sign("k1");
    let (bytes, public) = (std::fs::read(&signed).unwrap(), site.path("k1.pub"));
    let key = ["--key", public.to_str().unwrap()];
    let other = sign_held(&held(5), &ReleaseKey::load(&site.path("k1.key")).unwrap(), None).unwrap();
    std::fs::write(&signed, other).unwrap();
    let error = site.approve_signed(&signed, &key).unwrap_err();
    assert!(error.ends_with("it is not the release that waits: sign the file that `candidate` writes"), "{error}");
    for place in (0..bytes.len()).step_by(997).chain(0..120) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        std::fs::write(&signed, changed).unwrap();
        assert!(site.approve_signed(&signed, &key).is_err(), "byte {place}");
    }
    assert_eq!(site.handle.approved_release("home").unwrap(), None);
    std::fs::write(&signed, bytes).unwrap();
    site.approve_signed(&signed, &key).unwrap();
}

#[test]
fn a_server_that_signs_itself_takes_no_signed_file() {
    let site = site();
    let signed = site.sign("k1");
    std::fs::write(
        site.path("trainer.toml"),
        format!("[store]\npath = '{}'\n[retrain]\ngroup = 'home'\n", site.folder.store().display()),
    )
    .unwrap();
    assert!(site.approve_signed(&signed, &[]).unwrap_err().contains("approve without --signed"));
    site.approve(&[]).unwrap();
}
