//! `--roles`: which parts of the trainer a process runs.

use crate::config::{Config, SigningPlace};
use clap::ValueEnum;
use lapwing_shared::release::name::parse_name;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str::FromStr;

/// A part of the trainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    /// Read agents' messages from the brokers, store and acknowledge them; any number of processes.
    Collect,
    /// Serve dashboard and HTTP API; any number of processes.
    Web,
    /// Train on schedule and on request, sign approved releases, classify alerts and join them to incidents; one process works,
    /// others wait.
    Train,
    /// Publish releases and rollouts at every broker, and decide about campaigns; one process works, others wait.
    Publish,
    /// Enrol agents; has the authority's key.
    Enroll,
}

impl Role {
    const ALL: [Self; 5] = [Self::Collect, Self::Web, Self::Train, Self::Publish, Self::Enroll];

    /// Its name on the command line and in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Web => "web",
            Self::Train => "train",
            Self::Publish => "publish",
            Self::Enroll => "enroll",
        }
    }
}

/// Why a process cannot have its roles.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum RoleError {
    /// The embedded broker belongs to one process.
    #[error(
        "the embedded broker needs the roles collect and publish in one process; add the role {}, or use external \
         brokers (broker.urls, --broker)", .missing.as_str()
    )]
    EmbeddedBroker { missing: Role },
    /// A group has no key.
    #[error(
        "role train needs a key to sign releases of group {group}; set retrain.key, or key of this group, or --key, \
         or retrain.sign = \"elsewhere\""
    )]
    NoKey { group: String },
    #[error("role web needs an address; set http.listen or --http")]
    NoAddress,
    #[error("role enroll needs an address; set enrolment.listen and enrolment.address")]
    NoEnrolment,
}

/// The name of a process among several, which says its roles: `collect-1`, `web-2`, `train-publish`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    name: String,
    pub(crate) roles: Vec<Role>,
}

impl Instance {
    /// MQTT client identifier of the process; no agent's name begins with `_`.
    pub(crate) fn client(&self) -> String {
        format!("_lapwing-{}", self.name)
    }
}

impl FromStr for Instance {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (words, _number) = name.rsplit_once('-').filter(|(_, end)| is_number(end)).unwrap_or((name, ""));
        let role = |word: &str| Role::ALL.into_iter().find(|role| role.as_str() == word);
        let roles: Option<Vec<Role>> = words.split('-').map(role).collect();
        let roles = roles.filter(|_| parse_name(name).is_some());
        let roles =
            roles.ok_or("expected roles (collect, web, train, publish, enroll) joined with `-`, e.g. collect-1")?;
        Ok(Self { name: name.to_owned(), roles })
    }
}

/// The roles of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    roles: BTreeSet<Role>,
    /// The operator named them, so each must have what it needs.
    are_named: bool,
}

impl Roles {
    /// These roles; every role if the list is empty.
    pub(crate) fn new(named: &[Role]) -> Self {
        let are_named = !named.is_empty();
        let roles = if are_named { named } else { &Role::ALL[..] };
        Self { roles: roles.iter().copied().collect(), are_named }
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Role> {
        self.roles.iter().copied()
    }

    /// Checks that each role has what it needs. Without `--roles`, a trainer may lack a key and an address: it collects.
    ///
    /// # Errors
    /// The first role that lacks something.
    pub(crate) fn check(&self, config: &Config, http: Option<SocketAddr>) -> Result<(), RoleError> {
        if !config.broker.is_external() && self.has(Role::Collect) != self.has(Role::Publish) {
            let missing = if self.has(Role::Collect) { Role::Publish } else { Role::Collect };
            return Err(RoleError::EmbeddedBroker { missing });
        }
        if !self.are_named {
            return Ok(());
        }
        if self.has(Role::Web) && http.is_none() {
            return Err(RoleError::NoAddress);
        }
        if self.has(Role::Enroll) && config.enrolment.listen.is_none() {
            return Err(RoleError::NoEnrolment);
        }
        let keyless = config.groups().into_iter().find(|group| group.key.is_none() && group.sign == SigningPlace::Here);
        match keyless.filter(|_| self.has(Role::Train)) {
            Some(group) => Err(RoleError::NoKey { group: group.group }),
            None => Ok(()),
        }
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self::new(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(roles: &[Role], change: impl FnOnce(&mut Config)) -> Result<(), String> {
        let mut config = Config::default();
        change(&mut config);
        Roles::new(roles).check(&config, config.http.listen).map_err(|error| error.to_string())
    }

    #[test]
    fn without_named_roles_a_process_has_all_and_needs_nothing() {
        assert_eq!(check(&[], |_| ()), Ok(()));
        assert_eq!(Roles::default().iter().count(), 5);
    }

    #[test]
    fn an_instance_says_its_roles_and_its_client() {
        let instance = |name: &str| name.parse::<Instance>().map(|instance| (instance.client(), instance.roles));
        assert_eq!(instance("collect-12"), Ok(("_lapwing-collect-12".into(), vec![Role::Collect])));
        assert_eq!(instance("train-publish"), Ok(("_lapwing-train-publish".into(), vec![Role::Train, Role::Publish])));
        for name in ["", "collector-1", "1", "web-", "collect--1", "web/1", "web-1-2"] {
            assert!(instance(name).is_err(), "{name}");
        }
    }

    #[test]
    fn each_named_role_must_have_what_it_needs() {
        let external = |config: &mut Config| config.broker.url = Some("mqtt://broker".into());
        for (role, missing) in [(Role::Collect, "publish"), (Role::Publish, "collect")] {
            let error = check(&[role], |_| ()).unwrap_err();
            assert!(error.contains(&format!("add the role {missing}")) && error.contains("broker.urls"), "{error}");
            assert_eq!(check(&[role], external), Ok(()));
        }
        assert_eq!(check(&[Role::Collect, Role::Publish], |_| ()), Ok(()));
        assert!(check(&[Role::Web], |_| ()).unwrap_err().contains("http.listen"));
        assert_eq!(check(&[Role::Web], |config| config.http.listen = Some(([127, 0, 0, 1], 1).into())), Ok(()));
        let error = check(&[Role::Train], |_| ()).unwrap_err();
        assert!(error.contains("group default") && error.contains("retrain.key"), "{error}");
        assert_eq!(check(&[Role::Train], |config| config.retrain.key = Some("key".into())), Ok(()));
        assert!(check(&[Role::Enroll], |_| ()).unwrap_err().contains("enrolment.listen"));
        let listen = |config: &mut Config| config.enrolment.listen = Some(([127, 0, 0, 1], 0).into());
        assert_eq!(check(&[Role::Enroll], listen), Ok(()));
    }
}
