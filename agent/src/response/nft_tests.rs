//! The nft scripts, run by nft.

use super::*;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// In a network namespace of its own; needs root, nft and unshare.
#[test]
fn nft_accepts_the_scripts_and_deletes_everything() {
    let program = PathBuf::from("/usr/sbin/nft");
    let name = "response::nft::tests::nft_accepts_the_scripts_and_deletes_everything";
    if std::env::var_os("LAPWING_NAMESPACE").is_none() {
        let can = Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|status| status.success());
        if !can || !program.exists() {
            return lapwing_skips::skip("needs root, unshare and nft");
        }
        let mut inside = Command::new("unshare");
        inside.arg("--net").arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
        assert!(inside.env("LAPWING_NAMESPACE", "1").status().unwrap().success());
        return;
    }
    let list = || {
        let output = Command::new(&program).args(["list", "ruleset"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for _ in 0..2 {
        run(&program, &prepare()).unwrap();
    }
    assert_eq!(list().matches(" drop").count(), 4, "{}", list());
    let v6 = Address("2001:db8::5".parse::<Ipv6Addr>().unwrap().octets());
    for address in [Address::from_v4([203, 0, 113, 5]), v6] {
        run(&program, &block(&address, 600)).unwrap();
        assert!(list().contains(&address.to_string()), "{}", list());
    }
    assert!(list().contains("timeout 10m"), "{}", list());
    run(&program, REMOVE).unwrap();
    assert_eq!(list(), "");
    assert!(run(&program, "add nonsense\n").is_err());
}
