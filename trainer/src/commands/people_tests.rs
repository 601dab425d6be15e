//! `people` and `tokens` → the store, and what they print as JSON.

use super::people::{PeopleCommand, run_people};
use super::tokens::{TokensCommand, run_tokens};
use clap::{FromArgMatches, Subcommand};
use lapwing_people::{HashedPassword, Role, Secret};
use lapwing_store::testing::Folder;
use lapwing_store::{AuditFilter, Limits, Store, StoreHandle};
use serde_json::Value as Json;

struct Scene {
    folder: Folder,
    handle: StoreHandle,
}

impl Scene {
    fn new() -> Self {
        let folder = Folder::new();
        let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
        Self { folder, handle }
    }

    /// Runs a command of a group with `--store` and `--json`; returns the JSON, or the error.
    fn run<T: Subcommand + FromArgMatches>(
        &self,
        run: fn(&T) -> anyhow::Result<()>,
        words: &[&str],
    ) -> Result<Json, String> {
        let out = self.folder.path().join("out.json");
        let more =
            ["--store", self.folder.store().to_str().unwrap(), "--json", out.to_str().unwrap()].map(String::from);
        let command = T::augment_subcommands(clap::Command::new("test").no_binary_name(true));
        let words = words.iter().map(|word| (*word).to_owned()).chain(more);
        let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
        let parsed = T::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        run(&parsed).map_err(|error| format!("{error:#}"))?;
        Ok(serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap())
    }

    fn people(&self, words: &[&str]) -> Result<Json, String> {
        self.run::<PeopleCommand>(run_people, words)
    }

    fn tokens(&self, words: &[&str]) -> Result<Json, String> {
        self.run::<TokensCommand>(run_tokens, words)
    }
}

#[test]
fn a_person_is_added_with_a_link_and_gets_another_one_by_a_reset() {
    let scene = Scene::new();
    let added = scene.people(&["add", "Ann", "--role", "administrator", "--who", "root"]).unwrap();
    assert_eq!(added["name"], "ann");
    let code = |made: &Json| made["link"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let now_s = lapwing_common::clock::now_s();
    let use_link = |code: &str| {
        let secret = Secret::parse(code).unwrap();
        scene.handle.use_link(&secret.sha256(), "ann", &HashedPassword("x".into()), now_s)
    };
    use_link(&code(&added)).unwrap();
    let reset = scene.people(&["reset", "ann"]).unwrap();
    assert_eq!(scene.handle.password("ann").unwrap(), None);
    assert!(use_link(&code(&added)).is_err());
    use_link(&code(&reset)).unwrap();
    let list = scene.people(&["list"]).unwrap();
    assert_eq!((&list[0]["role"], &list[0]["has-password"]), (&"administrator".into(), &true.into()));
    let filter = AuditFilter { who: Some("root".into()), limit: 9, ..AuditFilter::default() };
    assert_eq!(scene.handle.audit(&filter).unwrap().records.len(), 1);
}

#[test]
fn where_a_proxy_signs_people_in_there_are_no_links() {
    let scene = Scene::new();
    let config = scene.folder.path().join("trainer.toml");
    let text = "[http]\nuser-header = 'X-Remote-User'\ntrusted-proxies = ['192.0.2.1']\n";
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let added = scene.people(&["add", "ann", "--role", "administrator", "--config", config]).unwrap();
    assert_eq!((&added["name"], &added["link"]), (&"ann".into(), &Json::Null));
    scene.handle.set_password("ann", &HashedPassword("x".into()), "root", 5).unwrap();
    let error = scene.people(&["reset", "ann", "--config", config]).unwrap_err();
    assert!(error.contains("a proxy signs people in (http.user-header)"), "{error}");
    assert!(scene.handle.password("ann").unwrap().is_some(), "nothing is changed");
}

#[test]
fn roles_change_and_invalid_names_and_roles_are_rejected() {
    let scene = Scene::new();
    let first = scene.people(&["add", "bob", "--role", "viewer"]).unwrap_err();
    assert!(first.contains("bob is the first person: expected --role administrator"), "{first}");
    scene.people(&["add", "ann", "--role", "administrator"]).unwrap();
    scene.people(&["add", "bob", "--role", "viewer"]).unwrap();
    scene.people(&["role", "bob", "operator"]).unwrap();
    assert_eq!(scene.handle.role("bob").unwrap(), Some(Role::Operator));
    for (words, error) in [
        (&["add", "a b", "--role", "viewer"][..], "expected 1 to 40"),
        (&["add", "eve", "--role", "root"], "expected viewer, operator or administrator"),
        (&["add", "bob", "--role", "viewer"], "there is a person `bob` already"),
        (&["role", "ann", "viewer"], "the last administrator"),
        (&["remove", "ann"], "the last administrator"),
        (&["reset", "eve"], "no person `eve`"),
    ] {
        let found = scene.people(words).unwrap_err();
        assert!(found.contains(error), "{words:?}: {found}");
    }
    scene.people(&["remove", "bob"]).unwrap();
    scene.people(&["remove", "ann"]).unwrap();
    assert_eq!(scene.people(&["list"]).unwrap(), serde_json::json!([]));
}

#[test]
fn a_token_is_made_listed_and_revoked() {
    let scene = Scene::new();
    scene.people(&["add", "root", "--role", "administrator"]).unwrap();
    scene.people(&["add", "ann", "--role", "operator"]).unwrap();
    let made = scene.tokens(&["add", "ann", "backup", "--role", "viewer", "--days", "7"]).unwrap();
    let secret = Secret::parse_token(made["token"].as_str().unwrap()).unwrap();
    let now_s = lapwing_common::clock::now_s();
    let found = || scene.handle.api_token(&secret.sha256(), now_s).unwrap();
    assert_eq!(found().map(|token| (token.label, token.role)), Some(("backup".into(), Role::Viewer)));
    let list = scene.tokens(&["list", "--person", "ann"]).unwrap();
    assert!(list[0]["id"] == made["id"] && !list.to_string().contains("lw_"), "{list}");
    assert!(scene.tokens(&["add", "eve", "x", "--role", "viewer"]).unwrap_err().contains("no person `eve`"));
    assert!(scene.tokens(&["add", "ann", "x", "--role", "viewer", "--days", "0"]).is_err());
    assert!(scene.tokens(&["add", "ann", "", "--role", "viewer"]).unwrap_err().contains("1 to 64 characters"));
    let forged = scene.tokens(&["add", "ann", "\u{1b}]0;owned\u{7}\u{202e}\r\nfake", "--role", "viewer"]);
    assert!(forged.unwrap_err().contains("without control characters"));
    let above = scene.tokens(&["add", "ann", "x", "--role", "administrator"]).unwrap_err();
    assert_eq!(above, "ann has the role operator, not administrator; expected --role operator or a lower role");
    let id = made["id"].to_string();
    scene.tokens(&["revoke", &id]).unwrap();
    assert_eq!(found(), None);
    assert!(scene.tokens(&["revoke", &id]).unwrap_err().contains("no token"));
}
