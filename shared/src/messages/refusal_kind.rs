//! Reason of a refused release → whether the release is at fault.
//!
//! Agents report reasons as text for people. Both sides use the same texts: a defect of the release stops a campaign at once,
//! a fault of one agent or of its connection does not.

use super::UpdateStep;
use crate::release::refusal_text::{ARTIFACT, ENGINE, FORM, GOLDEN, MANIFEST, SCHEMA};
use heapless::String;

/// What follows a reason that is not of the release: a number of seconds.
const TRYING_AGAIN: &str = "; trying again in ";

/// Beginnings of reasons that the release is at fault for.
const DEFECTS: [&str; 6] = [MANIFEST, GOLDEN, SCHEMA, FORM, ARTIFACT, ENGINE];

/// Kind of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The release is at fault, and every agent of this kind will refuse it.
    Defect,
    /// The agent tries again by itself.
    Temporary,
    /// The release is refused on this agent, e.g. because it is not newer or its key is not trusted.
    Other,
}

impl RefusalKind {
    /// The kind of a refusal with this reason.
    pub fn of(reason: &str) -> Self {
        if reason.contains(TRYING_AGAIN) {
            Self::Temporary
        } else if DEFECTS.iter().any(|defect| reason.starts_with(defect)) {
            Self::Defect
        } else {
            Self::Other
        }
    }
}

impl UpdateStep {
    /// The step of a refusal that the agent repeats. A long reason is cut, not the end.
    pub fn refused_for_now(reason: &str, seconds: u64) -> Self {
        use core::fmt::Write;
        let mut end = String::<48>::new();
        // A number of seconds has at most 20 digits.
        let _ = write!(end, "{TRYING_AGAIN}{seconds} s");
        let mut text = String::new();
        let room = text.capacity() - end.len();
        let fits = |text: &String<160>, character: char| text.len() + character.len_utf8() <= room;
        reason.chars().take_while(|character| fits(&text, *character) && text.push(*character).is_ok()).count();
        let _ = text.push_str(&end);
        Self::Refused(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::ManifestError;
    use crate::release::accept::Refusal;
    use crate::release::framing::FrameError;
    use crate::release::golden::{GoldenError, GoldenPart};
    use crate::release::manifest::ArtifactForm;
    use std::string::ToString;

    #[test]
    fn defects_of_a_release_are_known_by_the_reason() {
        let golden = GoldenError::<&str>::Different { vector: 1, part: GoldenPart::Reconstruction };
        for reason in [
            Refusal::Schema.to_string(),
            Refusal::Form(ArtifactForm::Int8).to_string(),
            Refusal::Artifact.to_string(),
            Refusal::Manifest(ManifestError::Frame(FrameError::Malformed)).to_string(),
            golden.to_string(),
            GoldenError::<&str>::Width.to_string(),
            GoldenError::Engine { vector: 0, error: "no memory" }.to_string(),
        ] {
            assert_eq!(RefusalKind::of(&reason), RefusalKind::Defect, "{reason}");
        }
        for reason in [
            Refusal::NotNewer { found: 1, confirmed: 2 }.to_string(),
            Refusal::Expired { expires_s: 1, now_s: 2 }.to_string(),
            "cannot write state in the state folder".to_string(),
            "".to_string(),
        ] {
            assert_eq!(RefusalKind::of(&reason), RefusalKind::Other, "{reason}");
        }
    }

    #[test]
    fn a_refusal_for_now_is_temporary_however_long_its_reason_is() {
        for reason in ["artifact does not match the size and SHA-256 in the manifest", &"ä".repeat(200), ""] {
            let UpdateStep::Refused(text) = UpdateStep::refused_for_now(reason, u64::MAX) else { panic!() };
            assert_eq!(RefusalKind::of(&text), RefusalKind::Temporary, "{text}");
            assert!(text.ends_with("; trying again in 18446744073709551615 s"), "{text}");
        }
    }
}
