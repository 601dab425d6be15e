//! A table and options → a split, by one of five rules.

use super::assign::{Bundles, assign};
use super::{Repeats, Split, SplitOptions, SplitRule};
use crate::error::{TableError, listed};
use crate::keys::mix;
use crate::table::Table;

pub(super) fn make(table: &Table, options: &SplitOptions) -> Result<Split, TableError> {
    check_fractions(options)?;
    let mut split = match options.rule {
        SplitRule::Random => random(table, options),
        SplitRule::Group => group(table, options),
        SplitRule::Given => given(table, options)?,
        SplitRule::Time => time(table, options)?,
        SplitRule::Day => day(table, options)?,
    };
    // A named group keeps its rows together, but other groups can have equal feature rows: remove them.
    if options.repeats == Repeats::SetAside || (options.rule == SplitRule::Group && table.groups().is_some()) {
        split.remove_repeats(table);
    }
    check_subsets(&split, options)?;
    Ok(split)
}

fn check_fractions(options: &SplitOptions) -> Result<(), TableError> {
    let (validation, test) = (options.fractions.validation, options.fractions.test);
    let fits = |share: f64| (0.0..=0.9).contains(&share);
    if fits(validation) && fits(test) && validation + test <= 0.95 {
        return Ok(());
    }
    Err(unfit(
        "a split needs shares of 0 to 0.9 that leave at least 0.05 for training",
        format!("validation is {validation} and test {test}"),
        "reduce them",
    ))
}

fn check_subsets(split: &Split, options: &SplitOptions) -> Result<(), TableError> {
    let by_share = matches!(options.rule, SplitRule::Random | SplitRule::Group | SplitRule::Time);
    let validates = options.fractions.validation > 0.0 || !options.validation_days.is_empty();
    let empty = [
        ("training", split.training.is_empty()),
        ("validation", split.validation.is_empty() && validates),
        ("test", split.test.is_empty() && !(by_share && options.fractions.test == 0.0)),
    ];
    match empty.iter().find(|(_, empty)| *empty) {
        None => Ok(()),
        Some((subset, _)) => Err(unfit(
            "each subset of a split needs rows",
            format!("{subset} is empty ({} duplicates were removed)", split.set_aside),
            "use more rows, another rule, or different shares",
        )),
    }
}

fn all(table: &Table) -> Vec<usize> {
    (0..table.rows()).collect()
}

fn random(table: &Table, options: &SplitOptions) -> Split {
    three_ways(table, &Bundles::single(&all(table)), options)
}

fn group(table: &Table, options: &SplitOptions) -> Split {
    three_ways(table, &Bundles::by_key(&all(table), |row| group_key(table, row)), options)
}

/// Key of the named group if the table has groups, else of the features.
pub(super) fn group_key(table: &Table, row: usize) -> u64 {
    table.groups().map_or_else(|| table.keys()[row], |groups| mix(0, u64::from(groups.codes[row])))
}

fn three_ways(table: &Table, bundles: &Bundles, options: &SplitOptions) -> Split {
    let (validation, test) = (options.fractions.validation, options.fractions.test);
    let mut subsets = assign(table, bundles, &[1.0 - validation - test, test, validation], options.seed);
    let (validation, test) = (subsets.pop().unwrap_or_default(), subsets.pop().unwrap_or_default());
    Split::unchecked(subsets.pop().unwrap_or_default(), validation, test)
}

/// Splits validation rows off, keeping equal feature rows together.
pub(super) fn with_validation(table: &Table, rest: &[usize], test: Vec<usize>, share: f64, seed: u64) -> Split {
    let bundles = Bundles::by_key(rest, |row| table.keys()[row]);
    let mut subsets = assign(table, &bundles, &[1.0 - share, share], seed);
    let validation = subsets.pop().unwrap_or_default();
    Split::unchecked(subsets.pop().unwrap_or_default(), validation, test)
}

fn given(table: &Table, options: &SplitOptions) -> Result<Split, TableError> {
    let (test, rest): (Vec<usize>, Vec<usize>) = all(table).into_iter().partition(|row| table.part()[*row] != 0);
    if test.is_empty() {
        return Err(unfit(
            "the given split needs test files",
            "no test files are given".into(),
            "add them with --test",
        ));
    }
    Ok(with_validation(table, &rest, test, options.fractions.validation, options.seed))
}

fn time(table: &Table, options: &SplitOptions) -> Result<Split, TableError> {
    let needs = "the time split needs a time for every row";
    let advice = "use --split group, or a schema that names a time column";
    let times = table.times().ok_or_else(|| unfit(needs, "the table has no times".into(), advice))?;
    if let Some(row) = times.iter().position(|time| time.is_nan()) {
        return Err(unfit(needs, format!("{} has no time", table.origin(row)), advice));
    }
    let mut order = all(table);
    order.sort_by(|a, b| times[*a].total_cmp(&times[*b]));
    let rows = order.len() as f64;
    let cut = |share: f64| {
        let mut at = ((rows * share).round() as usize).min(order.len());
        // Rows of the same instant stay together, in the earlier subset.
        while at > 0 && at < order.len() && times[order[at]] == times[order[at - 1]] {
            at += 1;
        }
        at
    };
    let validation = cut(1.0 - options.fractions.validation - options.fractions.test);
    let test = cut(1.0 - options.fractions.test).max(validation);
    let range = |from: usize, to: usize| order[from..to].to_vec();
    Ok(Split::unchecked(range(0, validation), range(validation, test), range(test, order.len())))
}

fn day(table: &Table, options: &SplitOptions) -> Result<Split, TableError> {
    let days = table.days().ok_or_else(|| {
        unfit(
            "the day split needs days",
            "the table has no days".into(),
            "use --split group, or data with a day or time",
        )
    })?;
    if options.test_days.is_empty() {
        let found = format!("no test days given; the table has {}", listed(&days.names));
        return Err(unfit("the day split needs days to test on", found, "choose them with --test-days"));
    }
    let codes = |names: &[String]| names.iter().map(|name| day_named(&days.names, name)).collect::<Result<Vec<_>, _>>();
    let (test_days, validation_days) = (codes(&options.test_days)?, codes(&options.validation_days)?);
    if let Some(day) = test_days.iter().find(|day| validation_days.contains(day)) {
        let found = format!("`{}` is both a test and a validation day", days.names[*day as usize]);
        return Err(unfit("each day belongs to one subset", found, "use it in one option only"));
    }
    let (test, rest): (Vec<usize>, Vec<usize>) =
        all(table).into_iter().partition(|row| test_days.contains(&days.codes[*row]));
    if validation_days.is_empty() {
        return Ok(with_validation(table, &rest, test, options.fractions.validation, options.seed));
    }
    let (validation, training) = rest.into_iter().partition(|row| validation_days.contains(&days.codes[*row]));
    Ok(Split::unchecked(training, validation, test))
}

fn day_named(names: &[String], name: &str) -> Result<u32, TableError> {
    let found = names.iter().position(|day| day.eq_ignore_ascii_case(name));
    found.map(|index| index as u32).ok_or_else(|| TableError::Unknown {
        what: "day",
        name: name.into(),
        found: listed(names),
    })
}

pub(super) fn unfit(needs: &str, found: String, advice: &str) -> TableError {
    TableError::Unfit { needs: needs.into(), found, advice: advice.into() }
}
