//! Owners after a start as root, in folders whose content the agent's account chose. Needs root.

use super::*;
use lapwing_live::rights::is_root;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

const ACCOUNT: Account = Account { user: 65_534, group: 65_534 };

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lapwing-own-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "secret").unwrap();
        path
    }

    fn config(&self) -> Config {
        let (state, socket) = (self.0.join("state"), self.0.join("run/agent.sock"));
        Config::parse(&format!("[update]\nstate-dir = {state:?}\n[status]\nsocket = {socket:?}\n")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn owner(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().uid()
}

#[test]
fn a_user_is_found_by_the_full_name() {
    let passwd = "root:x:0:0:root:/root:/bin/sh\nlapwing2:x:7:8::/:\nlapwing:x:991:992::/var:/bin/false\nbad:x:y:z\n";
    assert_eq!(find_account(passwd, "lapwing"), Some(Account { user: 991, group: 992 }));
    assert_eq!((find_account(passwd, "lap"), find_account(passwd, "bad"), find_account("", "x")), (None, None, None));
}

#[test]
fn the_agents_own_files_are_given_to_its_user() {
    if !is_root() {
        return lapwing_skips::skip("needs root");
    }
    let folder = Folder::new("files");
    let files =
        ["state/state", "state/run.new", "state/outbox-1", "state/slot-a/manifest", "state/slot-b/artifact.new"];
    let files = files.map(|name| folder.file(name));
    std::fs::create_dir_all(folder.0.join("run")).unwrap();
    let _socket = UnixListener::bind(folder.0.join("run/agent.sock")).unwrap();
    give_files(&folder.config(), ACCOUNT);
    for path in files.iter().chain([&folder.0.join("state"), &folder.0.join("run/agent.sock")]) {
        assert_eq!(owner(path), ACCOUNT.user, "{}", path.display());
    }
    assert_eq!(owner(&folder.0.join("run")), 0, "the socket's folder stays root's");
}

#[test]
fn links_to_other_files_and_files_that_are_not_the_agents_stay_roots() {
    if !is_root() {
        return lapwing_skips::skip("needs root");
    }
    let folder = Folder::new("links");
    let victims = ["root/passwd", "root/shadow", "root/manifest", "root/socket"].map(|name| folder.file(name));
    let [passwd, shadow, manifest, socket] = &victims;
    let other = folder.file("state/agent.toml");
    let state = folder.0.join("state");
    symlink(passwd, state.join("run")).unwrap();
    std::fs::hard_link(shadow, state.join("outbox-0")).unwrap();
    symlink(manifest.parent().unwrap(), state.join("slot-a")).unwrap();
    std::fs::create_dir_all(folder.0.join("run")).unwrap();
    symlink(socket, folder.0.join("run/agent.sock")).unwrap();
    std::os::unix::fs::chown(&state, Some(ACCOUNT.user), None).unwrap();
    give_files(&folder.config(), ACCOUNT);
    for path in victims.iter().chain([&other]) {
        assert_eq!(owner(path), 0, "{}", path.display());
    }
}

#[test]
fn a_folder_with_files_of_others_is_not_given_away() {
    if !is_root() {
        return lapwing_skips::skip("needs root");
    }
    let folder = Folder::new("foreign");
    folder.file("state/hosts");
    give_files(&folder.config(), ACCOUNT);
    assert_eq!(owner(&folder.0.join("state")), 0);
    let error = give_folder(&folder.0.join("state"), is_state_name, ACCOUNT).unwrap_err().to_string();
    assert!(error.contains("also holds hosts"), "{error}");
}

#[test]
fn a_missing_state_folder_is_created_or_the_error_says_why() {
    let folder = Folder::new("missing");
    let config = |path: &Path| Config::parse(&format!("[update]\nstate-dir = {path:?}\n")).unwrap();
    let wanted = folder.0.join("a/b/state");
    make_folders(&config(&wanted)).unwrap();
    make_folders(&config(&wanted)).unwrap();
    assert_eq!(std::fs::metadata(&wanted).unwrap().mode() & 0o777, 0o700);
    let file = folder.file("file");
    let error = make_folders(&config(&file.join("state"))).unwrap_err().to_string();
    assert!(error.starts_with("update.state-dir: cannot create the folder "), "{error}");
    assert!(error.contains("/file: File exists"), "{error}");
    let error = make_folders(&config(&file)).unwrap_err().to_string();
    assert!(error.contains("/file: File exists"), "{error}");
}
