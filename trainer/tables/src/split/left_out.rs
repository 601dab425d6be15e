//! A split → the same split with attack kinds that nobody learns from, and a check that it is so.
//!
//! "Of the kind" is told by label and by features: an attack row of another kind with equal features gives the answer
//! away as well. Features are compared by their keys.

use super::Split;
use crate::error::TableError;
use crate::table::Table;
use std::collections::HashSet;

/// Which rows of a left-out kind are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Those of the test side: where its rows differ from the others by day, time, file or group.
    TestSide,
    /// All of them, wherever the split had put them: where sides are drawn by chance.
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
    let new = |row: usize| !tells(table, &tested, kinds, row);
    Split {
        training: split.training.keep(new),
        validation: split.validation.iter().copied().filter(|row| new(*row)).collect(),
        test,
        set_aside: split.set_aside,
    }
}

pub(super) fn check(table: &Table, split: &Split, kinds: &[u16]) -> Result<(), TableError> {
    let tested = tested_keys(table, &split.test, kinds);
    for (side, rows) in [("training", split.training.as_slice()), ("validation", &split.validation)] {
        let mut telling = rows.iter().filter(|row| tells(table, &tested, kinds, **row));
        if let Some(first) = telling.next() {
            return Err(TableError::LeftOut { side, rows: telling.count() + 1, first: table.origin(*first) });
        }
    }
    Ok(())
}

fn tested_keys(table: &Table, test: &[usize], kinds: &[u16]) -> HashSet<u64> {
    let of_kind = test.iter().filter(|row| kinds.contains(&table.kind()[**row]));
    of_kind.map(|row| table.keys()[*row]).collect()
}

/// Whether learning from the row shows what a left-out kind looks like.
fn tells(table: &Table, tested: &HashSet<u64>, kinds: &[u16], row: usize) -> bool {
    let kind = table.kind()[row];
    kind != 0 && (kinds.contains(&kind) || tested.contains(&table.keys()[row]))
}
