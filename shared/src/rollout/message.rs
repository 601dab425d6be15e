//! Rollout ↔ frame: [`ROLLOUT_VERSION`], then the postcard body.

use crate::release::framing::{self, FrameError};
use crate::release::manifest::Name;
use crate::release::name::is_name;
use core::fmt;
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// First byte of every encoded rollout; readers reject any other value.
pub const ROLLOUT_VERSION: u8 = 1;
/// Largest signed rollout, bytes.
pub const ROLLOUT_BYTES: usize = 512;
/// Number of places; a reach of this size includes every agent.
pub const PLACES: u32 = 1 << 16;
/// Limit on withdrawn versions that a rollout lists; [`Rollout::withdrawn_below`] covers older ones.
pub const WITHDRAWN: usize = 8;
/// Longest [`Rollout::spread_s`]: one week.
pub const SPREAD_S: u32 = 7 * 86_400;
/// Longest [`TelemetryBudget::health_every_s`]: one hour.
pub const HEALTH_EVERY_S: u16 = 3_600;

/// When an agent gets new releases, relative to its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Among the first.
    Early,
    /// With the group.
    #[default]
    Normal,
    /// In the last wave.
    Late,
}

impl Channel {
    /// Every channel, in the order of [`Next::reach`].
    pub const ALL: [Self; 3] = [Self::Early, Self::Normal, Self::Late];
}

/// The release of a campaign and the agents that may install it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// Version.
    pub version: u64,
    /// Salt of the agents' places, different for each campaign.
    pub salt: [u8; 8],
    /// Agents with a place below this may install it, by channel; 0 to [`PLACES`].
    pub reach: [u32; 3],
}

impl Next {
    /// The reach of a channel.
    pub const fn reach_of(&self, channel: Channel) -> u32 {
        let [early, normal, late] = self.reach;
        match channel {
            Channel::Early => early,
            Channel::Normal => normal,
            Channel::Late => late,
        }
    }
}

/// How much an agent sends besides alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryBudget {
    /// Sampled feature rows per day.
    pub rows_per_day: u32,
    /// Interval of health reports, 1 to [`HEALTH_EVERY_S`] seconds.
    pub health_every_s: u16,
}

/// What the agents of one group may install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The group.
    pub group: Name,
    /// At least 1, and greater than those of all earlier rollouts of the group. An agent never accepts a lower one.
    pub serial: u64,
    /// Version that the whole group should run; 0 before the first.
    pub base: u64,
    /// The release of the current campaign.
    pub next: Option<Next>,
    /// Withdrawn versions, decreasing: an agent that runs or tries one goes back to `base`.
    pub withdrawn: Vec<u64, WITHDRAWN>,
    /// Every version below this is withdrawn, too; 0: none.
    pub withdrawn_below: u64,
    /// Agents spread downloads over this time, seconds.
    pub spread_s: u32,
    /// Telemetry of each agent.
    pub budget: TelemetryBudget,
    /// Creation time, seconds since the epoch.
    pub issued_s: u64,
    /// Expiry, seconds since the epoch. Afterwards agents install nothing new.
    pub expires_s: u64,
}

/// Why a rollout or an assignment is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutError {
    /// Invalid frame.
    Frame(FrameError),
    /// Invalid field.
    Field(&'static str),
    /// Not version, key name, signature and body.
    Envelope,
    /// No rollout key has this name.
    UnknownKey(Name),
    /// The signature does not match this key and rollout.
    Signature(Name),
    /// The rollout is for another group.
    Group(Name),
    /// The assignment is for another agent.
    Agent(Name),
    /// The key signs nothing new: it or the root document has ended.
    KeyEnded {
        /// Its end, seconds since the epoch.
        until_s: u64,
    },
    /// The key may not name versions as high as this.
    AboveCeiling {
        /// Highest version that the rollout names.
        found: u64,
        /// Highest version that the key may name.
        ceiling: u64,
    },
    /// Older than the newest accepted rollout, or another one with its serial.
    Stale {
        /// Its serial.
        found: u64,
        /// Serial of the newest accepted rollout.
        newest: u64,
    },
}

impl From<FrameError> for RolloutError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for RolloutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "{error}"),
            Self::Field(field) => write!(f, "invalid {field}"),
            Self::Envelope => write!(f, "expected a version byte, key name, signature and body"),
            Self::UnknownKey(key) => write!(f, "signed with key {key}, which is no rollout key of this agent"),
            Self::Signature(key) => write!(f, "signature does not match key {key}"),
            Self::Group(group) => write!(f, "for group {group}, which is not this agent's"),
            Self::Agent(agent) => write!(f, "for agent {agent}, which is not this one"),
            Self::KeyEnded { until_s } => {
                write!(f, "its key or the root document ended at {until_s} (seconds since the epoch)")
            }
            Self::AboveCeiling { found, ceiling } => {
                write!(f, "names version {found}, above {ceiling}, the highest that its key may name")
            }
            Self::Stale { found, newest } => {
                write!(f, "serial {found} does not follow {newest}, the newest accepted one")
            }
        }
    }
}

impl core::error::Error for RolloutError {}

impl Rollout {
    /// Highest version that it names for installation.
    pub fn highest(&self) -> u64 {
        self.next.as_ref().map_or(self.base, |next| next.version)
    }

    /// Whether a version is withdrawn.
    pub fn is_withdrawn(&self, version: u64) -> bool {
        version != 0 && (version < self.withdrawn_below || self.withdrawn.contains(&version))
    }

    /// Withdraws a version other than `base`. If the list is full, its oldest entry moves to `withdrawn_below`, with everything
    /// older. If that would include `base`, it is dropped instead: an agent that still runs it was offline for eight withdrawals,
    /// and leaves it with the next version of the group.
    #[inline]
    pub fn withdraw(&mut self, version: u64) {
        if version == 0 || version == self.base || self.is_withdrawn(version) {
            return;
        }
        if self.withdrawn.is_full() {
            let oldest = self.withdrawn.pop().unwrap_or_default();
            if oldest < self.base {
                self.withdrawn_below = oldest.saturating_add(1);
            }
        }
        if version >= self.withdrawn_below {
            let place = self.withdrawn.iter().position(|other| *other < version).unwrap_or(self.withdrawn.len());
            // There is room: a full list has lost an entry.
            let _ = self.withdrawn.insert(place, version);
        }
    }

    /// Whether an agent whose newest rollout is `newest` uses this one instead; `false` for the same one again.
    ///
    /// # Errors
    /// [`RolloutError::Stale`] if it is older, or different with the same serial.
    #[inline]
    pub fn replaces(&self, newest: Option<&Self>) -> Result<bool, RolloutError> {
        match newest {
            Some(newest) if self == newest => Ok(false),
            Some(newest) if self.serial <= newest.serial => {
                Err(RolloutError::Stale { found: self.serial, newest: newest.serial })
            }
            _ => Ok(true),
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`RolloutError::Field`].
    #[inline]
    pub fn validate(&self) -> Result<(), RolloutError> {
        let is_decreasing = self.withdrawn.windows(2).all(|pair| pair[0] > pair[1]);
        let last = self.withdrawn.last().copied().unwrap_or(u64::MAX);
        let next = |valid: fn(&Self, &Next) -> bool| self.next.as_ref().is_none_or(|next| valid(self, next));
        let checks = [
            (is_name(&self.group), "group"),
            (self.serial > 0, "serial"),
            (!self.is_withdrawn(self.base), "base"),
            (is_decreasing && last > 0 && last >= self.withdrawn_below, "withdrawn"),
            (next(|own, next| next.version > own.base && !own.is_withdrawn(next.version)), "next.version"),
            (next(|_, next| next.reach.iter().all(|reach| *reach <= PLACES)), "next.reach"),
            (self.spread_s <= SPREAD_S, "spread_s"),
            ((1..=HEALTH_EVERY_S).contains(&self.budget.health_every_s), "budget.health_every_s"),
            (self.expires_s > self.issued_s, "expires_s"),
        ];
        match checks.iter().find(|(is_valid, _)| !is_valid) {
            Some((_, field)) => Err(RolloutError::Field(field)),
            None => Ok(()),
        }
    }

    /// Writes the frame into `out`, for which [`ROLLOUT_BYTES`] is always enough; returns the written part.
    ///
    /// # Errors
    /// [`RolloutError::Field`], [`RolloutError::Frame`].
    #[inline]
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], RolloutError> {
        self.validate()?;
        Ok(framing::encode(ROLLOUT_VERSION, self, out)?)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`RolloutError::Frame`], [`RolloutError::Field`].
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, RolloutError> {
        let rollout: Self = framing::decode(ROLLOUT_VERSION, bytes, ROLLOUT_BYTES)?;
        rollout.validate()?;
        Ok(rollout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::testing::rollout;

    #[test]
    fn a_rollout_has_these_bytes() {
        let mut rollout = rollout(7, 3);
        rollout.next = Some(Next { version: 4, salt: *b"saltsalt", reach: [PLACES, 655, 0] });
        rollout.withdraw(2);
        let mut room = [0; ROLLOUT_BYTES];
        let bytes = rollout.encode(&mut room).unwrap();
        let golden = [
            &[1, 4][..],
            b"home",
            &[7, 3, 1, 4],
            b"saltsalt",
            &[0x80, 0x80, 0x04, 0x8f, 0x05, 0, 1, 2, 0],
            // spread_s = 3600, rows_per_day = 256, health_every_s = 10
            &[0x90, 0x1c, 0x80, 0x02, 0x0a],
            // issued_s = 1_700_000_000, expires_s = 1_702_592_000
            &[0x80, 0xe2, 0xcf, 0xaa, 0x06, 0x80, 0xfc, 0xed, 0xab, 0x06],
        ]
        .concat();
        assert_eq!(bytes, golden);
        assert_eq!(Rollout::decode(bytes), Ok(rollout));
    }

    #[test]
    fn the_longest_rollout_fits_with_its_signature() {
        let mut rollout = rollout(u64::MAX, u64::MAX - 1);
        rollout.group = "abcdefghijklmnopqrstuvwxyz012345".try_into().unwrap();
        rollout.next = Some(Next { version: u64::MAX, salt: [0xff; 8], reach: [PLACES; 3] });
        (0..8).for_each(|index| rollout.withdraw(u64::MAX - 10 + index));
        (rollout.withdrawn_below, rollout.base) = (u64::MAX - 10, u64::MAX - 2);
        (rollout.spread_s, rollout.budget.rows_per_day) = (SPREAD_S, u32::MAX);
        (rollout.issued_s, rollout.expires_s) = (u64::MAX - 1, u64::MAX);
        let mut room = [0; ROLLOUT_BYTES];
        let length = rollout.encode(&mut room).unwrap().len();
        assert!(length + 2 + 32 + 64 <= ROLLOUT_BYTES, "{length}");
    }

    #[test]
    fn invalid_fields_are_rejected() {
        type Breakage = (&'static str, fn(&mut Rollout));
        let breakages: &[Breakage] = &[
            ("group", |r| r.group = "a b".try_into().unwrap()),
            ("serial", |r| r.serial = 0),
            ("base", |r| r.withdrawn.push(3).unwrap()),
            ("base", |r| r.withdrawn_below = 4),
            ("withdrawn", |r| r.withdrawn.extend([1, 2])),
            ("withdrawn", |r| r.withdrawn.extend([2, 2])),
            ("withdrawn", |r| r.withdrawn.push(0).unwrap()),
            ("next.version", |r| r.next = Some(Next { version: 3, salt: [0; 8], reach: [0; 3] })),
            ("next.version", |r| {
                r.withdrawn.push(4).unwrap();
                r.next = Some(Next { version: 4, salt: [0; 8], reach: [0; 3] });
            }),
            ("next.reach", |r| r.next = Some(Next { version: 4, salt: [0; 8], reach: [0, 0, PLACES + 1] })),
            ("spread_s", |r| r.spread_s = SPREAD_S + 1),
            ("budget.health_every_s", |r| r.budget.health_every_s = 0),
            ("budget.health_every_s", |r| r.budget.health_every_s = HEALTH_EVERY_S + 1),
            ("expires_s", |r| r.expires_s = r.issued_s),
        ];
        for (field, change) in breakages {
            let mut changed = rollout(7, 3);
            change(&mut changed);
            assert_eq!(changed.validate(), Err(RolloutError::Field(field)));
            let mut room = [0; ROLLOUT_BYTES];
            let frame = framing::encode(ROLLOUT_VERSION, &changed, &mut room).unwrap();
            assert_eq!(Rollout::decode(frame), Err(RolloutError::Field(field)));
        }
    }

    #[test]
    fn the_oldest_of_many_withdrawn_versions_are_covered_by_a_limit() {
        let mut rollout = rollout(7, 30);
        for version in [5, 9, 7, 11, 13, 15, 17, 19, 21, 3, 23] {
            rollout.withdraw(version);
            rollout.withdraw(version);
            rollout.validate().unwrap();
            assert!(rollout.is_withdrawn(version), "{version}: {rollout:?}");
        }
        rollout.base = 4;
        assert!(rollout.validate().is_err(), "below the limit");
        let mut full = super::super::testing::rollout(7, 3);
        (10..18).for_each(|version| full.withdraw(version));
        full.withdraw(18);
        assert!(full.is_withdrawn(18) && full.is_withdrawn(11) && full.validate().is_ok());
        assert!(!full.is_withdrawn(10), "the limit would include the base");
        rollout.base = 30;
        assert!([5, 9, 7, 11, 13, 15, 17, 19, 21, 3, 23].iter().all(|version| rollout.is_withdrawn(*version)));
        assert!(!rollout.is_withdrawn(22) && !rollout.is_withdrawn(0) && !rollout.is_withdrawn(30));
    }

    #[test]
    fn only_a_higher_serial_replaces_a_rollout() {
        let (old, new) = (rollout(7, 3), rollout(8, 3));
        assert_eq!((new.replaces(None), new.replaces(Some(&old))), (Ok(true), Ok(true)));
        assert_eq!(new.replaces(Some(&new)), Ok(false));
        assert_eq!(old.replaces(Some(&new)), Err(RolloutError::Stale { found: 7, newest: 8 }));
        let twin = Rollout { base: 2, ..rollout(8, 3) };
        assert_eq!(twin.replaces(Some(&new)), Err(RolloutError::Stale { found: 8, newest: 8 }));
    }
}
