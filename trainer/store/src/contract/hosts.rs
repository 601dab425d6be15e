//! Alerts with pseudonyms, and removal of what names a host.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::{alert, received, status};
use crate::{AlertFilter, AuditFilter, EpisodeFilter, HostData, HostFilter, Label, Limits, Received, StoreHandle};
use lapwing_shared::messages::{AddressForm, AlertState, Body, Message, Peer};
use lapwing_shared::privacy::{AddressKey, Protection};
use lapwing_shared::units::Address;

const HOST: Address = Address::from_v4([10, 0, 0, 9]);
const OTHER: Address = Address::from_v4([10, 0, 0, 7]);
const OUTSIDE: Address = Address::from_v4([192, 0, 2, 1]);

/// An alert of a host with peers.
fn of(number: u64, episode: u64, state: AlertState, host: Address, peers: &[Address]) -> Message {
    let mut message = alert(1, number, episode, state, (100, 200));
    let Body::Alert(content) = &mut message.body else { unreachable!() };
    content.host = host;
    content.peers = peers.iter().map(|address| Peer { address: *address, flows: 3 }).collect();
    message
}

fn protected(mut message: Message, protection: &Protection) -> Message {
    let Body::Alert(content) = &mut message.body else { unreachable!() };
    assert!(protection.protect(content));
    message
}

fn filter(host: Address, is_pseudonym: bool) -> HostFilter {
    HostFilter { host, is_pseudonym, agent: None, group: None }
}

/// Problems of the store, without those of the server's settings: servers of tests do not sync.
fn problems(handle: &StoreHandle) -> Vec<String> {
    handle.check().unwrap().into_iter().filter(|problem| !problem.contains("fsync")).collect()
}

/// Text of every episode with its peers.
fn listed(handle: &StoreHandle) -> Vec<String> {
    let found = handle.alerts(&AlertFilter { limit: 100, ..AlertFilter::default() }).unwrap();
    let mut texts: Vec<String> = found
        .iter()
        .map(|episode| {
            let message = episode.message.as_ref().unwrap();
            let peers: Vec<String> = message.peers.iter().map(|peer| message.named(peer.address).to_string()).collect();
            format!("{} {} {}", episode.agent, episode.record.shown_host(), peers.join(" "))
        })
        .collect();
    texts.sort();
    texts
}

pub fn pseudonyms_are_stored_with_their_key_and_shown_as_such<S: TestStore>() {
    let store = S::new();
    let mut writer = store.open(Limits::default());
    let key = AddressKey::new([7; 32]);
    let (named, hidden) = (Protection::pseudonyms(key.clone()), Protection::hidden(AddressKey::new([8; 32])));
    let opened = |number, episode| of(number, episode, AlertState::Opened, HOST, &[OUTSIDE]);
    let messages =
        [opened(1, 1), protected(opened(2, 2), &named), protected(opened(3, 3), &hidden)].map(|m| received("gw", &m));
    writer.commit(&messages, 1).unwrap();
    let handle = writer.handle().unwrap();
    let form = |number| handle.episode("gw", number, 1).unwrap().unwrap().0.record.addresses;
    assert_eq!(form(1), AddressForm::Plain);
    assert_eq!(form(2), AddressForm::Pseudonym(key.id()));
    assert_eq!(form(3), AddressForm::Hidden);
    let texts = listed(&handle);
    assert_eq!(
        texts.iter().filter(|text| text.contains("gw p-") && !text.contains("192.0.2.1")).count(),
        1,
        "{texts:?}"
    );
    assert_eq!(texts.iter().filter(|text| text.contains("gw h-")).count(), 1, "{texts:?}");
    // A later message of the episode keeps the form, and its summary names the pseudonym.
    let update = protected(of(4, 2, AlertState::Updated, HOST, &[OUTSIDE]), &named);
    writer.commit(&[received("gw", &update)], 2).unwrap();
    let (episode, _) = handle.episode("gw", 2, 9).unwrap().unwrap();
    assert_eq!(
        (episode.record.addresses, episode.record.host),
        (AddressForm::Pseudonym(key.id()), key.pseudonym(HOST))
    );
    assert!(episode.summary().unwrap().to_string().starts_with("p-"));
    writer.close().unwrap();
}

fn every_alert() -> Vec<Received> {
    let mut home = status(1);
    let Body::Status(content) = &mut home.body else { unreachable!() };
    content.group = "home".try_into().unwrap();
    vec![
        received("gw", &home),
        received("gw", &of(1, 1, AlertState::Opened, HOST, &[OUTSIDE])),
        received("gw", &of(2, 1, AlertState::Closed, HOST, &[OUTSIDE])),
        received("gw", &of(3, 2, AlertState::Opened, HOST, &[])),
        received("gw", &of(4, 3, AlertState::Opened, OTHER, &[HOST, OUTSIDE])),
        received("gw", &of(5, 4, AlertState::Opened, OTHER, &[OUTSIDE])),
        received("shop", &of(1, 1, AlertState::Opened, HOST, &[])),
    ]
}

pub fn forgetting_a_host_removes_its_episodes_and_its_address_from_other_alerts<S: TestStore>() {
    let store = S::new();
    let mut writer = store.open(Limits::default());
    writer.commit(&every_alert(), 1).unwrap();
    let handle = writer.handle().unwrap();
    handle.label("gw", 1, Label::Benign, "ann", 2).unwrap();
    let of_gw = HostFilter { agent: Some("gw".into()), ..filter(HOST, false) };
    let expected = HostData { episodes: 2, messages: 3, labels: 1, mentions: 1 };
    assert_eq!(handle.host_data(&of_gw).unwrap(), expected);
    assert_eq!(listed(&handle).len(), 5, "counting changes nothing");
    assert_eq!(handle.forget_host(&of_gw, "ann", 3).unwrap(), expected);
    assert_eq!(listed(&handle), ["gw 10.0.0.7 192.0.2.1", "gw 10.0.0.7 192.0.2.1", "shop 10.0.0.9 "]);
    assert_eq!(handle.host_data(&of_gw).unwrap(), HostData::default());
    assert_eq!(problems(&handle), Vec::<String>::new());
    // The writer goes on, and the limits count what is left.
    writer.commit(&[received("gw", &of(6, 5, AlertState::Opened, OTHER, &[]))], 4).unwrap();
    assert_eq!(handle.message_counts().unwrap()[0], 4);
    let page = handle.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap();
    let entry = page.records.iter().find(|record| record.action == "forget-host").unwrap();
    assert_eq!((entry.object.as_str(), entry.who.as_str()), ("a host of agent gw", "ann"));
    assert!(entry.detail.starts_with("2 episodes, 3 alert messages, 1 label, "), "{}", entry.detail);
    assert!(!page.records.iter().any(|record| format!("{record:?}").contains("10.0.0.9")));
    writer.close().unwrap();
}

pub fn forgetting_is_limited_to_a_group_and_to_the_form_of_the_address<S: TestStore>() {
    let store = S::new();
    let mut writer = store.open(Limits::default());
    let key = AddressKey::new([7; 32]);
    let message = protected(of(9, 9, AlertState::Opened, HOST, &[OUTSIDE]), &Protection::pseudonyms(key.clone()));
    let mut batch = every_alert();
    batch.push(received("gw", &message));
    writer.commit(&batch, 1).unwrap();
    let handle = writer.handle().unwrap();
    let of_home = |host, is_pseudonym| HostFilter { group: Some("home".into()), ..filter(host, is_pseudonym) };
    assert_eq!(handle.host_data(&of_home(HOST, false)).unwrap().episodes, 2);
    assert_eq!(handle.host_data(&filter(HOST, false)).unwrap().episodes, 3);
    assert_eq!(handle.host_data(&filter(HOST, true)).unwrap(), HostData::default(), "no pseudonym has these bytes");
    assert_eq!(handle.host_data(&filter(key.pseudonym(HOST), true)).unwrap().episodes, 1);
    assert_eq!(handle.forget_host(&filter(key.pseudonym(OUTSIDE), true), "ann", 2).unwrap().mentions, 1);
    let page = handle.episodes(&EpisodeFilter { limit: 100, ..EpisodeFilter::default() }).unwrap();
    let episode = page.episodes.iter().find(|episode| episode.number == 9).unwrap();
    let left = episode.message.as_ref().unwrap();
    assert!(left.peers.is_empty() && left.host == key.pseudonym(HOST) && left.addresses != AddressForm::Plain);
    assert_eq!(handle.forget_host(&of_home(key.pseudonym(HOST), true), "ann", 3).unwrap().episodes, 1);
    assert!(handle.episode("gw", 9, 1).unwrap().is_none());
    assert_eq!(problems(&handle), Vec::<String>::new());
    writer.close().unwrap();
}
