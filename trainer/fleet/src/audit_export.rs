//! Entries of the audit log ↔ lines of JSON, each with its own hash, for another program to keep.

use crate::audit::AuditRecord;
use lapwing_shared::release::digest::{Hex, parse_digest};
use serde::Deserialize;

/// Longest line, bytes: an entry has at most 704 characters, each of at most 12 bytes in JSON.
pub const EXPORT_LINE_BYTES: usize = 16 << 10;

/// An entry as a line of JSON without its end.
///
/// # Errors
/// When a value has no form in JSON; those of a record have one.
pub fn export_line(record: &AuditRecord) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(record)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("sha256".into(), Hex(&record.sha256()).to_string().into());
    }
    serde_json::to_string(&value)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    number: u64,
    at_s: u64,
    who: String,
    action: String,
    object: String,
    detail: String,
    previous: String,
    sha256: String,
}

/// The entry of a line.
///
/// # Errors
/// What is wrong with it: it is no such line, or its hash is not that of its fields.
pub fn parse_export_line(text: &str) -> Result<AuditRecord, String> {
    if text.len() > EXPORT_LINE_BYTES {
        return Err(format!("{} bytes, expected at most {EXPORT_LINE_BYTES}", text.len()));
    }
    let Line { number, at_s, who, action, object, detail, previous, sha256 } =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let previous = parse_digest(&previous).ok_or("previous: expected 64 hexadecimal digits")?;
    let record = AuditRecord { number, at_s, who, action, object, detail, previous };
    if parse_digest(&sha256) != Some(record.sha256()) {
        return Err(format!("entry {number} was changed: its hash is another one"));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditAction, AuditEntry, AuditHead};

    #[test]
    fn a_line_has_the_whole_entry_and_a_changed_one_is_rejected() {
        let entry = AuditEntry::new(AuditAction::Label, "gw/1", "say \"hi\"\n", "ann (page)", 7);
        let record = AuditHead::default().next(&entry);
        let line = export_line(&record).unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(parse_export_line(&line), Ok(record));
        let changed = line.replace("ann", "bob");
        assert!(parse_export_line(&changed).unwrap_err().contains("entry 1 was changed"));
        for bad in ["", "{}", "[]", &line[1..], &line.replace("sha256", "sha"), &"x".repeat(EXPORT_LINE_BYTES + 1)] {
            assert!(parse_export_line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_longest_entry_fits_a_line() {
        let long = "\u{1f600}".repeat(600);
        let record = AuditHead::default().next(&AuditEntry::new(AuditAction::Label, &long, &long, &long, u64::MAX));
        assert!(export_line(&record).unwrap().len() <= EXPORT_LINE_BYTES);
    }
}
