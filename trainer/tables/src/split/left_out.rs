//! A split → the same split without some attack classes in training and validation, and a check of that.
//!
//! A row belongs to a left-out class by its label or by its features: an attack row with another label but equal
//! features would give the answer away. Features are compared by their keys.

use super::Split;
use crate::error::TableError;
use crate::table::Table;
use std::collections::HashSet;

/// Which rows of a left-out class are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Those in the test subset: for rules that separate test rows by day, time, file or group.
    TestSide,
    /// All of them, including those from training and validation: for random rules.
    Every,
}

pub(super) fn leave_out(table: &Table, split: &Split, kinds: &[u16], held: Held) -> Split {
    let of_kind = |row: &usize| kinds.contains(&table.kind()[*row]);
    let mut test = split.test.clone();
    if held == Held::Every {
        test.extend(split.training.as_slice().iter().chain(&split.validation).copied().filter(of_kind));
        test.sort_unstable();
    }
    let tested = tested_keys(table, &test, kinds);
    let unseen = |row: usize| !reveals(table, &tested, kinds, row);
    Split {
        training: split.training.keep(unseen),
        validation: split.validation.iter().copied().filter(|row| unseen(*row)).collect(),
        test,
        set_aside: split.set_aside,
    }
}

pub(super) fn check(table: &Table, split: &Split, kinds: &[u16]) -> Result<(), TableError> {
    let tested = tested_keys(table, &split.test, kinds);
    for (subset, rows) in [("training", split.training.as_slice()), ("validation", &split.validation)] {
        let mut revealing = rows.iter().filter(|row| reveals(table, &tested, kinds, **row));
        if let Some(first) = revealing.next() {
            return Err(TableError::LeftOut { side: subset, rows: revealing.count() + 1, first: table.origin(*first) });
        }
    }
    Ok(())
}

fn tested_keys(table: &Table, test: &[usize], kinds: &[u16]) -> HashSet<u64> {
    let of_kind = test.iter().filter(|row| kinds.contains(&table.kind()[**row]));
    of_kind.map(|row| table.keys()[*row]).collect()
}

/// Whether training on the row reveals a left-out class.
fn reveals(table: &Table, tested: &HashSet<u64>, kinds: &[u16], row: usize) -> bool {
    let kind = table.kind()[row];
    kind != 0 && (kinds.contains(&kind) || tested.contains(&table.keys()[row]))
}
