//! Rows written and read back, and what a filter selects.

use crate::columns::ROW_GROUP_ROWS;
use crate::description::Segment;
use crate::filter::{Filter, Sample};
use crate::place::Folder;
use crate::reader::SegmentReader;
use crate::row::Row;
use crate::testing::{TestFolder, read_all, row};
use crate::writer::{Limits, SegmentWriter};
use lapwing_shared::features::FEATURES;
use lapwing_shared::messages::{AgentName, RowHosts};
use lapwing_shared::units::Timestamp;
use std::collections::BTreeSet;

fn write(folder: &Folder, rows: &[Row]) -> Segment {
    let mut writer = SegmentWriter::new(folder, "home", Limits::default());
    assert_eq!(writer.push(rows, 0).unwrap(), None);
    writer.close(0).unwrap().unwrap()
}

/// Rows of every kind of value, in no order.
fn mixed(count: u64) -> Vec<Row> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut bits = || f32::from_bits(random.u32(..));
    let mut rows = Vec::new();
    for index in 0..count {
        let agent = AgentName::try_from(format!("gateway-{}", index * 7 % 5).as_str()).unwrap();
        rows.push(Row {
            agent,
            at: Timestamp::from_nanos(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            arrival: index / 32,
            run: u64::MAX - index % 3,
            number: index / 32 + 1,
            row: (index % 32) as u32,
            batch_rows: 32,
            flows_seen: u32::MAX - index as u32,
            sent_s: u64::MAX - index,
            score: (!index.is_multiple_of(3)).then_some(u32::MAX - index as u32),
            in_episode: index.is_multiple_of(4),
            hosts: RowHosts { source: index as u32, target: u32::MAX - index as u32 },
            features: std::array::from_fn(|_| bits()),
        });
    }
    rows
}

fn bits(row: &Row) -> [u32; FEATURES] {
    row.features.map(f32::to_bits)
}

#[test]
fn every_bit_of_every_row_is_read_back_sorted_by_agent_and_time() {
    let test = TestFolder::new();
    let folder = Folder::create(test.path()).unwrap();
    let mut rows = mixed(ROW_GROUP_ROWS as u64 + 1_000);
    let special = [
        0x7fc0_0000,
        0x7fc0_1234,
        0xffc0_0001,
        0x7f80_0001, // NaNs, quiet and signalling, with payloads
        0x0000_0000,
        0x8000_0000, // 0, −0
        0x0000_0001,
        0x807f_ffff, // subnormals
        0x7f80_0000,
        0xff80_0000,
        0x7f7f_ffff,
    ];
    for (index, row) in rows.iter_mut().enumerate().take(20_000) {
        row.features = std::array::from_fn(|feature| f32::from_bits(special[(index + feature) % special.len()]));
    }
    let segment = write(&folder, &rows);
    let read = read_all(&folder, std::slice::from_ref(&segment));
    rows.sort_by(|one, other| one.order().cmp(&other.order()));
    assert_eq!(read.len(), rows.len());
    for (read, row) in read.iter().zip(&rows) {
        assert_eq!(bits(read), bits(row));
        let without = |row: &Row| Row { features: [0.0; FEATURES], ..row.clone() };
        assert_eq!(without(read), without(row));
    }
    assert_eq!((segment.rows, segment.first), (rows.len() as u64, rows.iter().map(|row| row.at).min().unwrap()));
    assert_eq!(segment.last, rows.iter().map(|row| row.at).max().unwrap());
    assert_eq!(segment.bytes, std::fs::metadata(test.path().join(&segment.file)).unwrap().len());
}

#[test]
fn ties_of_time_keep_the_order_of_arrival() {
    let test = TestFolder::new();
    let folder = Folder::create(test.path()).unwrap();
    let at = |arrival, index| Row { arrival, row: index, ..row("gw", 100 - arrival, 50) };
    let segment = write(&folder, &[at(9, 1), at(2, 0), at(9, 0), at(3, 0), at(2, 1)]);
    let order: Vec<_> = read_all(&folder, &[segment]).iter().map(|row| (row.arrival, row.row)).collect();
    assert_eq!(order, [(2, 0), (2, 1), (3, 0), (9, 0), (9, 1)]);
}

#[test]
fn a_filter_selects_agents_and_times_and_skips_other_row_groups() {
    let test = TestFolder::new();
    let folder = Folder::create(test.path()).unwrap();
    let per_agent = ROW_GROUP_ROWS as u64;
    let mut rows = Vec::new();
    for agent in ["attic", "barn", "cellar"] {
        rows.extend((0..per_agent).map(|number| row(agent, number, number)));
    }
    let segment = write(&folder, &rows);
    let select = |filter: &Filter| {
        let mut reader = SegmentReader::open(&folder, &segment, filter).unwrap();
        let rows: Vec<Row> = reader.by_ref().collect::<Result<_, _>>().unwrap();
        (rows, reader.groups_read())
    };
    let agents = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    let (barn, groups) = select(&Filter { agents: agents(&["barn"]), ..Filter::default() });
    assert_eq!((barn.len() as u64, groups), (per_agent, 1));
    assert!(barn.iter().all(|row| row.agent == "barn"));
    let times = Timestamp::from_secs(10)..=Timestamp::from_secs(19);
    let (ten, groups) = select(&Filter { times: times.clone(), ..Filter::default() });
    assert_eq!((ten.len(), groups), (30, 3));
    assert_eq!(select(&Filter { agents: agents(&["shed"]), ..Filter::default() }).1, 0);
    let late = Timestamp::from_secs(per_agent)..=Timestamp::MAX;
    assert_eq!(select(&Filter { times: late.clone(), ..Filter::default() }).1, 0);
    let group = |name: &str| Filter { group: Some(name.into()), ..Filter::default() };
    assert_eq!((select(&group("home")).0.len(), select(&group("work")).1), (rows.len(), 0));
    assert!(group("home").may_select(&segment) && !group("work").may_select(&segment));
    assert!(!Filter { times: late, ..Filter::default() }.may_select(&segment));
    let sample = Some(Sample::new(0.25, 5).unwrap());
    let sampled = select(&Filter { sample, ..Filter::default() }).0;
    assert!((sampled.len() as f64 / rows.len() as f64 - 0.25).abs() < 0.02, "{}", sampled.len());
    assert_eq!(sampled, select(&Filter { sample, ..Filter::default() }).0);
    let both = select(&Filter { sample, times, ..Filter::default() }).0;
    let of_sampled: Vec<_> = sampled.into_iter().filter(|row| (10..20).contains(&row.at.as_secs())).collect();
    assert_eq!(both, of_sampled, "the sample of a part is the part of the sample");
}

#[test]
fn times_beyond_signed_numbers_are_ordered_and_selected() {
    let test = TestFolder::new();
    let folder = Folder::create(test.path()).unwrap();
    let at = |nanos: u64| Row { at: Timestamp::from_nanos(nanos), ..row("gw", 1, 1) };
    let segment = write(&folder, &[at(u64::MAX), at(i64::MAX as u64), at(0)]);
    let filter = Filter { times: Timestamp::from_nanos(1 << 63)..=Timestamp::MAX, ..Filter::default() };
    let rows: Vec<_> = SegmentReader::open(&folder, &segment, &filter).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows, [at(u64::MAX)]);
}
