use super::*;
use crate::output::alerts::test_alert;
use lapwing_shared::messages::Peer;
use lapwing_shared::units::Timestamp;

fn v4(octets: [u8; 4]) -> Address {
    Address::from_v4(octets)
}

fn alert(role: Role) -> Alert {
    let mut alert = test_alert(Timestamp::from_secs(1), 1);
    (alert.release, alert.resembles, alert.role, alert.host) = (3, None, role, v4([192, 168, 1, 9]));
    alert.peers.push(Peer { address: v4([203, 0, 113, 5]), flows: 9 }).unwrap();
    alert
}

#[test]
fn the_source_of_an_episode_is_blocked_and_of_a_target_its_busiest_peer() {
    assert_eq!(culprit(&alert(Role::Source)), Some(v4([192, 168, 1, 9])));
    assert_eq!(culprit(&alert(Role::Target)), Some(v4([203, 0, 113, 5])));
    assert_eq!(culprit(&Alert { state: AlertState::Updated, ..alert(Role::Source) }), None);
    assert_eq!(culprit(&test_alert(Timestamp::from_secs(1), 1)), None);
}

#[test]
fn neither_this_machine_nor_its_gateways_nor_the_operators_list_are_blocked() {
    let never = [Prefix::v4([10, 0, 0, 0], 8)];
    let own = [v4([192, 168, 1, 1])];
    let routes = "Iface Destination Gateway\neth0 00000000 FE01A8C0 0003\neth0 0001A8C0 00000000 0001\n";
    assert_eq!(gateways_v4(routes), [v4([192, 168, 1, 254])]);
    let trie = "     |-- 192.168.1.0\n        /24 link UNICAST\n     |-- 192.168.1.1\n        /32 host LOCAL\n";
    assert_eq!(local_v4(trie), own);
    for spare in [[10, 1, 2, 3], [192, 168, 1, 1], [224, 0, 0, 1], [255; 4], [127, 0, 0, 1], [0; 4], [169, 254, 1, 1]] {
        assert!(spared(&v4(spare), &never, &own).is_some(), "{spare:?}");
    }
    assert_eq!(spared(&v4([203, 0, 113, 5]), &never, &own), None);
    let link_local = Address("fe80::1".parse::<Ipv6Addr>().unwrap().octets());
    assert!(spared(&link_local, &[], &[]).is_some());
}

#[test]
fn this_machines_own_addresses_are_found() {
    assert!(own_addresses().contains(&v4([127, 0, 0, 1])));
}

/// In a network namespace of its own; needs root, nft and unshare.
#[test]
fn nft_takes_the_scripts_and_gives_everything_back() {
    let program = PathBuf::from("/usr/sbin/nft");
    let name = "response::tests::nft_takes_the_scripts_and_gives_everything_back";
    if std::env::var_os("LAPWING_NAMESPACE").is_none() {
        let can = Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|status| status.success());
        if !can || !program.exists() {
            return println!("SKIPPED: {name}: needs root, unshare and nft");
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
        nft(&program, &prepare()).unwrap();
    }
    assert_eq!(list().matches(" drop").count(), 4, "{}", list());
    let v6 = Address("2001:db8::5".parse::<Ipv6Addr>().unwrap().octets());
    for address in [v4([203, 0, 113, 5]), v6] {
        nft(&program, &block(&address, 600)).unwrap();
        assert!(list().contains(&address.to_string()), "{}", list());
    }
    assert!(list().contains("timeout 10m"), "{}", list());
    nft(&program, REMOVE).unwrap();
    assert_eq!(list(), "");
    assert!(nft(&program, "add nonsense\n").is_err());
}
