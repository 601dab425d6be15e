//! Entries of the audit log, oldest first → whether one of them was changed or removed.
//!
//! The hashes show changes by whoever does not compute them anew. Someone who can write to the store can; to notice that,
//! keep the newest hash elsewhere and compare it later ([`AuditCheck::has_hash`]).

use crate::audit::{AUDIT_ENTRIES, AuditHead, AuditRecord};

/// Problems to list; further ones are counted.
const LISTED: usize = 20;

/// What a check of the log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditCheck {
    /// Stored entries.
    pub entries: u64,
    /// Number of the oldest one, 0 without entries. Older ones were deleted beyond [`AUDIT_ENTRIES`].
    pub oldest: u64,
    /// The newest one.
    pub newest: AuditHead,
    /// What was changed or removed; empty if nothing was.
    pub problems: Vec<String>,
    /// One entry has the hash that was looked for, or none was.
    pub has_hash: bool,
}

/// Reads entries in the order of their numbers.
#[derive(Debug, Default)]
pub struct AuditChain {
    found: AuditCheck,
    sought: Option<[u8; 32]>,
    unlisted: u64,
}

impl AuditChain {
    /// Looks for an entry with a hash that was noted earlier, if one is given.
    pub fn new(sought: Option<[u8; 32]>) -> Self {
        Self { sought, ..Self::default() }
    }

    /// Takes the next entry.
    pub fn add(&mut self, record: &AuditRecord) {
        let AuditHead { number, sha256 } = self.found.newest;
        let is_first = self.found.entries == 0;
        if is_first {
            self.found.oldest = record.number;
        }
        if is_first && record.number == 1 && record.previous != [0; 32] {
            self.problem("entry 1 was changed, or entries before it were removed".into());
        }
        if !is_first && record.number != number.saturating_add(1) {
            self.problem(missing(number.saturating_add(1), record.number.saturating_sub(1)));
        } else if !is_first && record.previous != sha256 {
            self.problem(format!("entry {number} was changed: entry {} has another hash of it", record.number));
        }
        self.found.entries += 1;
        self.found.newest = record.head();
        self.found.has_hash |= self.sought == Some(self.found.newest.sha256);
    }

    /// Compares with the newest entry, as the store remembers it.
    pub fn finish(mut self, stored: Option<AuditHead>) -> AuditCheck {
        let (newest, stored) = (self.found.newest, stored.unwrap_or_default());
        if stored.number > newest.number {
            self.problem(missing(newest.number.saturating_add(1), stored.number));
        } else if stored.number < newest.number {
            self.problem(format!(
                "entries after {} were added by another program, or the head was changed",
                stored.number
            ));
        } else if stored != newest {
            self.problem(format!("entry {} was changed: the store remembers another hash of it", newest.number));
        }
        let (oldest, span) = (self.found.oldest, newest.number.saturating_sub(self.found.oldest).saturating_add(1));
        if oldest > 1 && span < AUDIT_ENTRIES {
            self.problem(format!("entries up to {} are missing, fewer than the limit requires", oldest - 1));
        }
        if self.unlisted > 0 {
            self.found.problems.push(format!("{} more problems", self.unlisted));
        }
        self.found.has_hash |= self.sought.is_none();
        self.found
    }

    fn problem(&mut self, text: String) {
        if self.found.problems.len() < LISTED {
            self.found.problems.push(text);
        } else {
            self.unlisted += 1;
        }
    }
}

fn missing(first: u64, last: u64) -> String {
    if first == last { format!("entry {first} is missing") } else { format!("entries {first} to {last} are missing") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditAction, AuditEntry};

    fn entry(number: u64) -> AuditEntry {
        AuditEntry::new(AuditAction::Label, &format!("gw/{number}"), "benign", "ann", number)
    }

    /// A log of these numbers, of which those before were deleted.
    fn log(numbers: std::ops::RangeInclusive<u64>) -> Vec<AuditRecord> {
        let mut head = AuditHead { number: numbers.start() - 1, sha256: [0; 32] };
        numbers
            .map(|number| {
                let record = head.next(&entry(number));
                head = record.head();
                record
            })
            .collect()
    }

    fn check(log: &[AuditRecord], head: AuditHead) -> AuditCheck {
        let mut chain = AuditChain::default();
        log.iter().for_each(|record| chain.add(record));
        chain.finish(Some(head))
    }

    #[test]
    fn an_unchanged_log_has_no_problems() {
        assert_eq!(AuditChain::default().finish(None), AuditCheck { has_hash: true, ..AuditCheck::default() });
        let whole = log(1..=9);
        let found = check(&whole, whole[8].head());
        assert_eq!((found.entries, found.oldest, found.newest), (9, 1, whole[8].head()));
        assert_eq!(found.problems, Vec::<String>::new());
        let pruned = log(8..=AUDIT_ENTRIES + 7);
        assert_eq!(check(&pruned, pruned.last().unwrap().head()).problems, Vec::<String>::new());
    }

    #[test]
    fn every_changed_field_and_every_removed_entry_is_reported() {
        let whole = log(1..=9);
        let head = whole[8].head();
        let changes: [fn(&mut AuditRecord); 6] = [
            |record| record.at_s += 1,
            |record| record.who.push('x'),
            |record| record.action = "approve".into(),
            |record| record.object = String::new(),
            |record| record.detail = "attack".into(),
            |record| record.previous[31] ^= 1,
        ];
        for change in changes {
            for place in 0..whole.len() {
                let mut log = whole.clone();
                change(&mut log[place]);
                let problems = check(&log, head).problems;
                let named = format!("entry {} was changed", place + 1);
                assert!(problems.iter().any(|problem| problem.contains(&named)), "{problems:?}");
            }
        }
        for place in 0..whole.len() {
            let mut log = whole.clone();
            log.remove(place);
            let problems = check(&log, head).problems;
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains("missing"), "{problems:?}");
        }
        assert!(check(&[], head).problems[0].contains("entries 1 to 9 are missing"));
        assert!(check(&whole, AuditHead::default()).problems[0].contains("another program"));
    }

    #[test]
    fn text_that_moves_from_one_field_to_the_next_changes_the_hash() {
        let record = log(1..=1).remove(0);
        let moved = AuditRecord { object: "gw/".into(), detail: "1benign".into(), ..record.clone() };
        assert_ne!(record.sha256(), moved.sha256());
    }

    #[test]
    fn a_log_that_was_written_anew_lacks_a_hash_that_was_noted() {
        let whole = log(1..=9);
        let has = |log: &[AuditRecord]| {
            let mut chain = AuditChain::new(Some(whole[4].sha256()));
            log.iter().for_each(|record| chain.add(record));
            chain.finish(log.last().map(AuditRecord::head))
        };
        assert!(has(&whole).has_hash);
        let mut head = AuditHead::default();
        let forged: Vec<_> = (1..=9)
            .map(|number| {
                let record = head.next(&AuditEntry { who: "bob".into(), ..entry(number) });
                head = record.head();
                record
            })
            .collect();
        let found = has(&forged);
        assert!(found.problems.is_empty() && !found.has_hash);
    }

    #[test]
    fn problems_are_limited() {
        let gaps: Vec<_> = log(1..=200).into_iter().filter(|record| record.number % 2 == 1).collect();
        let problems = check(&gaps, gaps[99].head()).problems;
        assert_eq!((problems.len(), problems[LISTED].as_str()), (LISTED + 1, "79 more problems"));
    }

    #[test]
    fn a_log_continues_after_its_newest_entry_although_its_head_is_lost() {
        let whole = log(1..=3);
        let newest = whole.last();
        assert_eq!(AuditHead::of(None, newest), whole[2].head());
        assert_eq!(AuditHead::of(Some(AuditHead { number: 7, sha256: [7; 32] }), newest).number, 7);
        assert_eq!(AuditHead::of(None, None), AuditHead::default());
    }

    #[test]
    fn every_action_is_in_the_list() {
        for (place, action) in AuditAction::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, place, "{action:?}");
        }
        assert_eq!(AuditAction::ALL.len(), AuditAction::Incident as usize + 1);
    }

    #[test]
    fn long_and_hostile_texts_are_cut_and_cleaned() {
        let entry = AuditEntry::new(AuditAction::Label, "gw\0/1", "", &"\u{1b}é".repeat(500), 1);
        assert_eq!((entry.object.as_str(), entry.who.chars().count()), ("gw\u{fffd}/1", 64));
        assert!(entry.who.starts_with("\u{fffd}é") && entry.who.ends_with('…'), "{}", entry.who);
        let fits = AuditEntry::new(AuditAction::Label, "x", "", &"é".repeat(64), 1);
        assert_eq!(fits.who, "é".repeat(64));
    }
}
