//! Rows on a plane, clusters and correlations: pictures that explore rather than judge.

use super::error::EvaluateError;
use super::fitted::Fitted;
use super::{Judged, Plan};
use lapwing_methods::metrics::{neighbour_purity, silhouette};
use lapwing_methods::{Scorer, TsneConfig, principal_plane, silent};
use lapwing_report::Picture;
use lapwing_report::charts::{HeatMap, KDistance, Panel, Scatter};
use lapwing_tables::Table;

/// Rows of a map.
const MAP_ROWS: usize = 1_200;
/// Kinds told apart in a map; the others are one group.
const MAP_KINDS: usize = 7;
/// Neighbours behind the purity of a map.
const NEIGHBOURS: usize = 10;
/// Rows behind a correlation picture.
const CORRELATION_ROWS: usize = 20_000;

/// t-SNE of test rows as encoded, and of their latent values where the method has some.
pub(super) fn tsne(table: &Table, plan: &Plan, judged: &Judged) -> Result<Picture, EvaluateError> {
    let side = &judged.prepared.test;
    let mut panels = Vec::new();
    let (groups, of) = groups(table, &side.rows);
    let latent = judged.fitted.latent(&side.matrix);
    for (title, matrix) in [("Encoded features", Some(&side.matrix)), ("Latent space", latent.as_ref())] {
        let Some(matrix) = matrix else { continue };
        let config = TsneConfig { limit: MAP_ROWS, iterations: 500, ..TsneConfig::default() };
        let placed = config.project(matrix, plan.seed, &silent)?;
        let kinds: Vec<u32> = side.rows.iter().map(|row| u32::from(table.kind()[*row])).collect();
        let purity = neighbour_purity(matrix, &kinds, NEIGHBOURS, MAP_ROWS, plan.seed)?;
        let classes: Vec<u32> = kinds.iter().map(|kind| (*kind).min(1)).collect();
        let apart = silhouette(matrix, &classes, MAP_ROWS, plan.seed).map_or(f64::NAN, |found| found.value);
        let point = |(place, row): (usize, &usize)| {
            let at = placed.places.row(place);
            (f64::from(at[0]), f64::from(at[1]), of[*row])
        };
        panels.push(Panel {
            title: title.into(),
            note: format!("{NEIGHBOURS}-NN purity {:.3}, silhouette of attacks {apart:.3}", purity.value),
            points: placed.rows.iter().enumerate().map(point).collect(),
        });
    }
    let note = format!(
        "t-SNE of {} of {} test rows, drawn by seed. Sizes of and distances between groups mean nothing; the figures \
         below were taken in the full space.",
        side.rows.len().min(MAP_ROWS),
        side.rows.len()
    );
    Ok(Scatter { title: "Test rows, neighbours kept together".into(), note, groups, panels, axes: None }.picture()?)
}

/// Names of the groups, and the group of each row.
fn groups(table: &Table, rows: &[usize]) -> (Vec<String>, Vec<usize>) {
    let counts = table.kind_counts();
    let mut order: Vec<usize> = (1..counts.len()).collect();
    order.sort_by_key(|kind| std::cmp::Reverse(counts[*kind]));
    let shown: Vec<usize> = std::iter::once(0).chain(order.into_iter().take(MAP_KINDS - 1)).collect();
    let mut names: Vec<String> = shown.iter().map(|kind| table.kinds()[*kind].clone()).collect();
    if counts.len() > shown.len() {
        names.push("other kinds".into());
    }
    let place = |row: &usize| {
        let kind = usize::from(table.kind()[*row]);
        shown.iter().position(|found| *found == kind).unwrap_or(shown.len())
    };
    (names, rows.iter().map(place).collect())
}

/// The k-distance curve and the clusters of DBSCAN, where that is the method.
pub(super) fn clusters(plan: &Plan, judged: &Judged) -> Result<Vec<Picture>, EvaluateError> {
    let Fitted::Scorer(Scorer::Dbscan(fitted)) = &judged.fitted else { return Ok(Vec::new()) };
    let distances = fitted.k_distances().iter().map(|distance| f64::from(*distance)).collect();
    let k = lapwing_methods::DbscanConfig::default().neighbours;
    let curve = KDistance { k, distances, eps: f64::from(fitted.radius()) }.picture()?;
    let (rows, clusters): (Vec<usize>, Vec<Option<u32>>) = fitted.clusters().unzip();
    let plane = principal_plane(&judged.prepared.training.matrix.select_rows(&rows))?;
    const SHOWN: u32 = 6;
    let group = |cluster: &Option<u32>| match cluster {
        None => 0,
        Some(cluster) => 1 + (*cluster).min(SHOWN) as usize,
    };
    let found = clusters.iter().flatten().max().map_or(0, |last| last + 1);
    let mut names: Vec<String> = vec!["noise".into()];
    names.extend((0..found.min(SHOWN)).map(|cluster| format!("cluster {}", cluster + 1)));
    if found > SHOWN {
        names.push(format!("{} smaller clusters", found - SHOWN));
    }
    let point = |(row, cluster): (&[f32], &Option<u32>)| (f64::from(row[0]), f64::from(row[1]), group(cluster));
    let points = plane.iter().zip(&clusters).map(point).collect();
    let (kept, of) = fitted.kept();
    let note =
        format!("{kept} of {of} benign training rows on their first two principal components, seed {}.", plan.seed);
    let panel = Panel { title: String::new(), note: format!("{found} clusters"), points };
    let axes = Some(("first component (deviations)".into(), "second component (deviations)".into()));
    let map = Scatter { title: "Clusters of DBSCAN".into(), note, groups: names, panels: vec![panel], axes };
    Ok(vec![curve, map.picture()?])
}

/// Correlation of the numeric features that vary over training rows; nothing where none does.
pub(super) fn correlation(table: &Table, judged: &Judged) -> Result<Option<Picture>, EvaluateError> {
    let rows = judged.prepared.learned.as_slice();
    let step = rows.len().div_ceil(CORRELATION_ROWS).max(1);
    let rows: Vec<usize> = rows.iter().copied().step_by(step).collect();
    let (names, values) = table.correlations(&rows);
    let title = "Rank correlation of numeric features, training rows".into();
    if names.is_empty() {
        return Ok(None);
    }
    Ok(Some(HeatMap { title, names, values }.picture()?))
}
