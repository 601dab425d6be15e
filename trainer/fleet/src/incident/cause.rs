//! Class and reasons of an episode → what it has in common with others.

use crate::episode::Classification;
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::messages::Reason;
use std::fmt;

/// Probability from which the classifier's class is the cause.
const CERTAIN: f64 = 0.5;
/// Reasons that are the cause of an episode without a class.
const REASONS: usize = 2;
/// Longest cause, characters; the rest is cut.
const CHARS: usize = 120;
const UNKNOWN: &str = "unknown";

/// What raised an episode: an attack class, or the two leading reasons with their direction, e.g.
/// `target_ports_3s high, packet_rate low`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause(String);

impl Cause {
    /// The cause of an episode with these reasons, largest share first.
    pub fn of(class: Option<&Classification>, reasons: &[Reason]) -> Self {
        let certain = class.filter(|class| class.class != UNKNOWN && class.probability.is_some_and(|p| p >= CERTAIN));
        if let Some(class) = certain {
            return Self::named(&class.class);
        }
        let mut leading: Vec<&Reason> = reasons.iter().take(REASONS).collect();
        // Which of the two leads may differ from one flow to the next.
        leading.sort_by_key(|reason| reason.feature);
        let texts: Vec<String> = leading.into_iter().filter_map(text).collect();
        if texts.is_empty() { Self::named(UNKNOWN) } else { Self::named(&texts.join(", ")) }
    }

    /// The cause with this text.
    pub fn named(text: &str) -> Self {
        Self(text.chars().take(CHARS).collect())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True without a class and without reasons; nothing joins by such a cause.
    pub fn is_unknown(&self) -> bool {
        self.0 == UNKNOWN
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A feature with the direction in which its value left the normal range.
fn text(reason: &Reason) -> Option<String> {
    let feature = SCHEMA.get(usize::from(reason.feature))?;
    let direction = if reason.value > reason.normal_high {
        "high"
    } else if reason.value < reason.normal_low {
        "low"
    } else {
        "unusual here"
    };
    Some(format!("{} {direction}", feature.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(feature: u8, value: f32) -> Reason {
        Reason { feature, value, normal_low: 1.0, normal_high: 2.0, share_permille: 300 }
    }

    fn class(probability: Option<f64>) -> Classification {
        Classification { class: "port-scan".into(), probability, rows: 3 }
    }

    #[test]
    fn a_class_of_at_least_a_half_is_the_cause_and_otherwise_two_reasons_with_their_direction() {
        let reasons = [reason(7, 9.0), reason(3, 0.0), reason(4, 9.0)];
        let cause = |class: Option<Classification>| Cause::of(class.as_ref(), &reasons);
        assert_eq!(cause(Some(class(Some(0.5)))).as_str(), "port-scan");
        let named = format!("{} low, {} high", SCHEMA[3].name, SCHEMA[7].name);
        assert_eq!(cause(Some(class(Some(0.49)))).as_str(), named);
        assert_eq!(cause(Some(class(None))).as_str(), named);
        assert_eq!(cause(None).as_str(), named);
        let swapped = [reasons[1], reasons[0]];
        assert_eq!(Cause::of(None, &swapped).as_str(), named, "the order of the two does not matter");
        assert_ne!(Cause::of(None, &[reason(7, 0.0), reason(3, 0.0)]).as_str(), named, "the direction does");
    }

    #[test]
    fn nothing_known_is_no_cause_to_join_by() {
        let unknown = Classification { class: UNKNOWN.into(), probability: Some(0.9), rows: 1 };
        assert!(Cause::of(Some(&unknown), &[]).is_unknown());
        assert!(Cause::of(None, &[reason(255, 1.0)]).is_unknown(), "a feature that the schema lacks");
        assert_eq!(Cause::named(&"é".repeat(500)).as_str().chars().count(), CHARS);
    }
}
