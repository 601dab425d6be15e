//! Episodes that operators labelled as attacks → attacks that each new release replays.

use super::{Attack, attack_row};
use crate::dataset::Row;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::units::{Address, Timestamp};
use lapwing_store::{EpisodeSpan, StoreError, StoreHandle};
use std::collections::BTreeSet;

/// The attacker in every replay: a private address (RFC 1918), because rows do not name their hosts.
const ATTACKER: Address = Address::from_v4([10, 0, 0, 1]);
/// The other end, without evidence: an address for documentation (RFC 6676).
const TARGET: Address = Address::from_v4([233, 252, 0, 1]);
/// Labelled attacks to replay, at most: the newest ones.
const ATTACKS: usize = 200;
/// Labelled attacks of all agents among which those of some are searched, at most.
const SEARCHED: u32 = 2_000;
/// Rows of an attack to replay, at most.
const ATTACK_ROWS: usize = 64;
/// Time of an attack's first row, seconds since the epoch.
const ATTACK_START_S: u64 = 1_000_000;

/// Attacks that operators labelled, newest first, as far as their rows are stored, of these agents or of all. The rows'
/// times and hosts are made up: one host at one row per second.
///
/// # Errors
/// When the store cannot be read.
pub fn labelled_attacks(handle: &StoreHandle, agents: Option<&BTreeSet<String>>) -> Result<Vec<Attack>, StoreError> {
    let mut attacks = Vec::new();
    let is_included = |span: &EpisodeSpan| agents.is_none_or(|agents| agents.contains(&span.agent_name));
    for span in handle.labelled_attacks(SEARCHED)?.into_iter().filter(is_included).take(ATTACKS) {
        let features = handle.episode_rows(&span, &schema_id())?;
        let row = |(second, features)| attack_row(Timestamp::from_secs(second), ATTACKER, TARGET, features);
        let rows: Vec<Row> = (ATTACK_START_S..).zip(features).take(ATTACK_ROWS).map(row).collect();
        if !rows.is_empty() {
            attacks.push(Attack { name: format!("episode {} of {}", span.episode, span.agent_name), rows });
        }
    }
    Ok(attacks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::features::FEATURES;
    use lapwing_shared::messages::{AlertState, Body};
    use lapwing_store::testing::{Folder, alert, received};
    use lapwing_store::{Label, Limits, Store};

    #[test]
    fn episodes_labelled_attack_are_replayed_with_the_rows_of_their_alerts() {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        for episode in [7, 8, 9] {
            let mut message = alert(1, episode, episode, AlertState::Opened, (10, 20));
            let Body::Alert(content) = &mut message.body else { unreachable!() };
            content.rows.push([episode as f32; FEATURES]).unwrap();
            store.commit(&[received("gw-1", &message)], 5).unwrap();
        }
        let handle = store.handle().unwrap();
        handle.label("gw-1", 7, Label::Benign, "an operator", 1).unwrap();
        handle.label("gw-1", 8, Label::Attack, "an operator", 2).unwrap();
        let attacks = labelled_attacks(&handle, None).unwrap();
        let seen: Vec<_> = attacks.iter().map(|attack| (attack.name.as_str(), attack.rows[0].features[0])).collect();
        assert_eq!(seen, [("episode 8 of gw-1", 8.0)]);
        let of = |agent: &str| labelled_attacks(&handle, Some(&BTreeSet::from([agent.to_owned()]))).unwrap().len();
        assert_eq!((of("gw-1"), of("gw-2")), (1, 0));
    }
}
