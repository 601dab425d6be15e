//! Measures the time and memory of reading: writes a table of any size, and reads it under `/usr/bin/time -v`.
//!
//! ```sh
//! cargo run -p lapwing-tables --example large_table -- make /tmp/large.csv 2500000 80
//! /usr/bin/time -v cargo run -p lapwing-tables --example large_table -- read /tmp/large.csv
//! ```

use lapwing_tables::{Format, Others, ReadOptions, Schema, Split, SplitOptions, SplitRule, read};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", path, rows, columns] => make(path, rows.parse()?, columns.parse()?)?,
        ["read", path] => measure(path, false)?,
        ["split", path] => measure(path, true)?,
        _ => return Err("usage: large_table make FILE ROWS COLUMNS | read FILE | split FILE".into()),
    }
    Ok(())
}

/// Numbers with typical lengths of flow tables, two categories and a label.
fn make(path: &str, rows: usize, columns: usize) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut random = fastrand::Rng::with_seed(1);
    let numbers = columns.saturating_sub(2);
    for column in 0..numbers {
        write!(file, "f{column},")?;
    }
    writeln!(file, "proto,service,class")?;
    for row in 0..rows {
        for column in 0..numbers {
            match column % 4 {
                0 => write!(file, "0,")?,
                1 => write!(file, "{},", random.u32(..1_000_000))?,
                2 => write!(file, "{:.6},", random.f64() * 1e4)?,
                _ => write!(file, "{},", random.u8(..4))?,
            }
        }
        let class = if row % 10 == 0 { "flood" } else { "normal" };
        writeln!(file, "{},s{},{class}", ["tcp", "udp", "icmp"][random.usize(..3)], random.u8(..60))?;
    }
    file.flush()
}

fn measure(path: &str, split: bool) -> Result<(), Box<dyn std::error::Error>> {
    let schema = Schema {
        label: Some("class".into()),
        categories: vec!["proto".into(), "service".into()],
        others: Others::Numbers,
        ..Schema::default()
    };
    let options = ReadOptions::new(Format::Table(Box::new(schema)));
    let table = read(&[PathBuf::from(path)], &[], &options, &mut |_| {})?;
    println!("{} rows, {} features, digest {}", table.rows(), table.columns().len(), table.digest());
    if split {
        let split = Split::make(&table, &SplitOptions::new(SplitRule::Group, 1))?;
        split.check(&table)?;
        println!("{} training rows, {} test rows", split.training().len(), split.test().len());
    }
    Ok(())
}
