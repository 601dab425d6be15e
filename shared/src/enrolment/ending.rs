//! Life of a certificate → from when its end is worth a warning.

use super::Enrolled;
use core::fmt;

const DAY_S: u64 = 86_400;
const HOUR_S: u64 = 3_600;
/// Longest time between warning and end, seconds.
const LONGEST_S: u64 = 60 * DAY_S;
/// Agents ask for the next certificate when between a third and 7/24 of the life are left, so with less than a sixth left
/// renewal has failed for long.
const SHARE: u64 = 6;

/// Time before its end from which a certificate of this life should have been renewed long ago, seconds.
pub const fn ending_s(life_s: u64) -> u64 {
    let share_s = life_s / SHARE;
    if share_s < LONGEST_S { share_s } else { LONGEST_S }
}

impl Enrolled {
    /// True if the certificate should have been renewed long before `now_s`.
    pub const fn ends_soon(&self, now_s: u64) -> bool {
        self.until_s.saturating_sub(now_s) < ending_s(self.until_s.saturating_sub(self.issued_s))
    }
}

/// Time until an end, seconds, displayed as e.g. `1 day` or `5 hours`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLeft(pub u64);

impl fmt::Display for TimeLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.0 {
            left_s if left_s >= DAY_S => (left_s / DAY_S, "day"),
            left_s if left_s >= HOUR_S => (left_s / HOUR_S, "hour"),
            _ => return f.write_str("less than an hour"),
        };
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_warning_comes_sixty_days_or_a_sixth_of_the_life_before_the_end() {
        assert_eq!(ending_s(365 * DAY_S), 60 * DAY_S);
        assert_eq!(ending_s(90 * DAY_S), 15 * DAY_S);
        // Agents have asked since 7/24 of the life or more were left.
        assert!([1, 30, 90, 180, 365, 3_650].iter().all(|days| ending_s(days * DAY_S) < days * DAY_S / 24 * 7));
    }

    #[test]
    fn time_left_is_in_the_largest_unit_with_the_right_plural() {
        let text = |left_s| TimeLeft(left_s).to_string();
        assert_eq!(
            [2 * DAY_S - 1, 59 * DAY_S, 3_700, 7_200, 59].map(text),
            ["1 day", "59 days", "1 hour", "2 hours", "less than an hour"]
        );
    }
}
