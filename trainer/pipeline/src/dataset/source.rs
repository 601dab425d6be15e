//! Public data sets, tables with a schema, captures → a table.

use super::{capture, table};
use anyhow::bail;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use lapwing_tables::{Attempted, BadRows, Format, ReadOptions, Schema, Table, read};
use std::path::{Path, PathBuf};

/// Format of input files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableKind {
    /// CIC-IDS2017: the public or the corrected files.
    #[value(name = "cic-ids2017")]
    CicIds2017,
    /// UNSW-NB15: the partition or the raw files.
    UnswNb15,
    /// NSL-KDD, without a header.
    NslKdd,
    /// Zeek conn log.
    ZeekConn,
    /// Any table, described by --schema.
    Table,
    /// Captures, metered as agents do; labels from NAME.labels.csv next to them.
    Capture,
}

impl TableKind {
    /// Name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Reader options for files of this kind.
///
/// # Errors
/// A table without a schema, or an invalid schema.
pub fn format(kind: TableKind, schema: Option<&Path>) -> anyhow::Result<Format> {
    Ok(match (kind, schema) {
        (TableKind::CicIds2017, _) => Format::CicIds2017 { attempted: Attempted::Benign },
        (TableKind::UnswNb15, _) => Format::UnswNb15,
        (TableKind::NslKdd, _) => Format::NslKdd,
        (TableKind::ZeekConn, _) => Format::ZeekConn,
        (TableKind::Table, Some(path)) => Format::Table(Box::new(Schema::load(path)?)),
        (TableKind::Table, None) => bail!("--kind table needs --schema FILE, which describes the columns"),
        (TableKind::Capture, _) => bail!("captures are metered, not read as tables"),
    })
}

/// Reads files of this kind, including captures.
///
/// # Errors
/// The first file that cannot be read.
pub fn read_kind(
    kind: TableKind,
    schema: Option<&Path>,
    bad_rows: BadRows,
    train: &[PathBuf],
    test: &[PathBuf],
) -> anyhow::Result<Table> {
    if kind != TableKind::Capture {
        return read_files(train, test, &ReadOptions { bad_rows, ..ReadOptions::new(format(kind, schema)?) });
    }
    let files = [train, test].concat();
    let dataset = capture::read(&files)?;
    dataset.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(table::of(&dataset, &files, train.len())?)
}

/// Reads with a progress bar on standard error.
fn read_files(train: &[PathBuf], test: &[PathBuf], options: &ReadOptions) -> anyhow::Result<Table> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:32} reading {bytes}/{total_bytes}, {msg} rows")?);
    let table = read(train, test, options, &mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_read);
        bar.set_message(progress.rows.to_string());
    });
    bar.finish_and_clear();
    let table = table?;
    eprintln!("read {} rows, {} features", table.rows(), table.columns().len());
    Ok(table)
}
