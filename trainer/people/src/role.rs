//! What a person or a token may do.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Roles in the order of their rights: each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads every page.
    Viewer,
    /// Also labels alerts, and pauses and aborts campaigns.
    Operator,
    /// Also starts, resumes and approves campaigns, and manages agents and people.
    Administrator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Administrator];

    /// Its name in the store, in lists and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }

    /// Whether the role may do this.
    pub fn may(self, permission: Permission) -> bool {
        self >= permission.role()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| format!("invalid role `{text}`, expected viewer, operator or administrator"))
    }
}

/// What a page or a route of the API needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Read every page, list and metric, and classify rows.
    Read,
    /// Change the own password, end the own session, and make and revoke own tokens.
    OwnAccount,
    /// Label an alert.
    Label,
    /// Pause a campaign.
    PauseCampaign,
    /// Abort a campaign.
    AbortCampaign,
    /// Start a campaign.
    StartCampaign,
    /// Resume a campaign.
    ResumeCampaign,
    /// Approve a campaign, or refuse it.
    ApproveCampaign,
    /// Accept an agent that waits.
    AcceptAgent,
    /// Revoke the identity of an agent.
    RevokeAgent,
    /// Add and remove people, change their roles, reset their passwords, and revoke their tokens.
    ManagePeople,
}

/// The lowest role that has each permission: the one table that pages and API use.
pub const PERMISSIONS: [(Permission, Role); 11] = [
    (Permission::Read, Role::Viewer),
    (Permission::OwnAccount, Role::Viewer),
    (Permission::Label, Role::Operator),
    (Permission::PauseCampaign, Role::Operator),
    (Permission::AbortCampaign, Role::Operator),
    (Permission::StartCampaign, Role::Administrator),
    (Permission::ResumeCampaign, Role::Administrator),
    (Permission::ApproveCampaign, Role::Administrator),
    (Permission::AcceptAgent, Role::Administrator),
    (Permission::RevokeAgent, Role::Administrator),
    (Permission::ManagePeople, Role::Administrator),
];

impl Permission {
    /// The lowest role that has it; an administrator, if the table lacks it.
    pub fn role(self) -> Role {
        PERMISSIONS.iter().find(|(permission, _)| *permission == self).map_or(Role::Administrator, |(_, role)| *role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_design_says() {
        use Permission::{
            AbortCampaign, AcceptAgent, ApproveCampaign, Label, ManagePeople, OwnAccount, PauseCampaign, Read,
            ResumeCampaign, RevokeAgent, StartCampaign,
        };
        let viewer = [Read, OwnAccount];
        let operator = [Label, PauseCampaign, AbortCampaign];
        let administrator = [StartCampaign, ResumeCampaign, ApproveCampaign, AcceptAgent, RevokeAgent, ManagePeople];
        assert_eq!(viewer.len() + operator.len() + administrator.len(), PERMISSIONS.len());
        let expected = [(viewer.as_slice(), 3), (&operator, 2), (&administrator, 1)];
        for (permissions, roles) in expected {
            for permission in permissions {
                let may = Role::ALL.into_iter().filter(|role| role.may(*permission)).count();
                assert_eq!(may, roles, "{permission:?}");
            }
        }
    }

    #[test]
    fn names_of_roles_are_parsed_and_others_rejected() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("Viewer".parse::<Role>().unwrap_err().contains("expected viewer, operator or administrator"));
    }
}
