//! A folder of Parquet segments, as `store export` writes it → rows to train on.
//!
//! Each agent is a site. Segments have no alerts, so rows of suspect hosts are left out: whether their hosts raised an alert
//! is unknown.

use super::{Dataset, stored};
use lapwing_segments::{Filter, Folder, Index, SegmentError, SegmentReader};
use lapwing_shared::messages::AgentName;
use lapwing_store::TrainingRow;
use std::path::Path;

/// Reads the rows that a filter selects, by agent name and time.
///
/// # Errors
/// When the folder has no index, or a segment cannot be read or differs from its description.
pub fn read(path: &Path, filter: &Filter) -> Result<Dataset, SegmentError> {
    let folder = Folder::existing(path);
    let index = Index::load(&folder)?.ok_or_else(|| SegmentError::Foreign {
        file: path.display().to_string(),
        what: "it has no segments.json".into(),
        expected: "a folder that `lapwing-trainer store export` has written".into(),
    })?;
    let (mut found, mut marked, mut invalid) = (Vec::new(), 0_u64, 0_u64);
    for segment in index.segments.iter().filter(|segment| filter.may_select(segment)) {
        for row in SegmentReader::open(&folder, segment, filter)? {
            let row = row?;
            if row.in_episode {
                marked += 1;
            } else if row.features.iter().all(|value| value.is_finite()) {
                found.push(row);
            } else {
                invalid += 1;
            }
        }
    }
    found.sort_by(|one, other| one.order().cmp(&other.order()));
    let counts = [(marked, "rows of suspect hosts"), (invalid, "rows with values that are not finite")];
    let reported = counts.iter().filter(|(count, _)| *count > 0);
    let warnings = reported.map(|(count, what)| format!("{}: {count} {what} are excluded", path.display())).collect();
    let mut site = 0;
    let mut previous: Option<AgentName> = None;
    let mut to_row = |row: lapwing_segments::Row| {
        site += u32::from(previous.as_ref().is_some_and(|agent| *agent != row.agent));
        previous = Some(row.agent.clone());
        stored::row(TrainingRow::new(site.into(), row, false), site)
    };
    let rows = found.into_iter().map(&mut to_row).collect();
    Ok(Dataset { rows, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_segments::{Limits, Row as SegmentRow, Sample, SegmentWriter};
    use lapwing_shared::features::FEATURES;
    use lapwing_shared::features::schema::schema_id;
    use lapwing_shared::messages::{Body, RowHosts};
    use lapwing_shared::units::Timestamp;
    use lapwing_store::testing::{Folder as Temporary, name, received, samples};
    use lapwing_store::{Limits as StoreLimits, Store};

    fn segment_row(agent: &str, arrival: u64, row: u32, at_s: u64, in_episode: bool) -> SegmentRow {
        SegmentRow {
            agent: name(agent),
            at: Timestamp::from_secs(at_s),
            arrival,
            run: 1,
            number: arrival,
            row,
            batch_rows: 2,
            flows_seen: 100,
            sent_s: 0,
            score: None,
            in_episode,
            hosts: RowHosts::default(),
            features: [at_s as f32; FEATURES],
        }
    }

    fn write(folder: &Folder, segments: &[&[SegmentRow]]) {
        let mut index = Index::default();
        for rows in segments {
            let mut writer = SegmentWriter::new(folder, "home", Limits::default());
            writer.push(rows, 0).unwrap();
            index.segments.extend(writer.close(0).unwrap());
        }
        index.save(folder).unwrap();
    }

    #[test]
    fn rows_of_segments_are_those_of_the_store_in_the_same_order() {
        let folder = Temporary::new();
        let batches = [
            ("gw-1", 1, [(30, false), (20, false)]),
            ("gw-2", 1, [(10, false), (40, false)]),
            ("gw-1", 2, [(20, false), (5, false)]),
        ];
        let mut store = Store::open(folder.store(), StoreLimits::default()).unwrap();
        let mut segments = Vec::new();
        for (arrival, (agent, number, rows)) in (1..).zip(batches) {
            let mut message = samples(1, number, &rows);
            if let Body::Samples(samples) = &mut message.body {
                samples.schema = schema_id();
            }
            store.commit(&[received(agent, &message)], 5).unwrap();
            let row = |(index, (at_s, marked)): (u32, &(u64, bool))| segment_row(agent, arrival, index, *at_s, *marked);
            segments.push((0..).zip(&rows).map(row).collect::<Vec<_>>());
        }
        let path = folder.path().join("rows");
        let [first, second, third] = &segments[..] else { panic!("three batches expected") };
        write(&Folder::create(&path).unwrap(), &[&[first.as_slice(), second].concat(), third]);
        let read = read(&path, &Filter::default()).unwrap();
        assert_eq!(read.rows, stored::read(&folder.store()).unwrap().rows);
        assert_eq!(read.rows.len(), 6);
    }

    #[test]
    fn rows_of_suspect_hosts_are_left_out_and_a_filter_selects() {
        let folder = Temporary::new();
        let path = folder.path().join("rows");
        let error = read(&path, &Filter::default()).unwrap_err().to_string();
        assert!(error.contains("has no segments.json"), "{error}");
        let mut rows: Vec<_> = (0..1_000_u64).map(|at| segment_row("gw-1", at, 0, at, at.is_multiple_of(10))).collect();
        (rows[1].features[0], rows[2].features[47]) = (f32::NAN, f32::INFINITY);
        write(&Folder::create(&path).unwrap(), &[&rows]);
        let all = read(&path, &Filter::default()).unwrap();
        assert_eq!((all.rows.len(), all.warnings.len()), (898, 2));
        assert!(all.warnings[0].contains("100 rows of suspect hosts"), "{}", all.warnings[0]);
        assert!(all.warnings[1].contains("2 rows with values that are not finite"), "{}", all.warnings[1]);
        let times = Timestamp::from_secs(11)..=Timestamp::from_secs(19);
        assert_eq!(read(&path, &Filter { times, ..Filter::default() }).unwrap().rows.len(), 9);
        let half = Filter { sample: Some(Sample::new(0.5, 1).unwrap()), ..Filter::default() };
        let sampled = read(&path, &half).unwrap().rows;
        assert!((350..550).contains(&sampled.len()), "{}", sampled.len());
    }
}
