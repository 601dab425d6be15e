//! Evaluated rows → exploratory charts: t-SNE, clusters, correlations.

use super::Evaluated;
use super::error::EvaluateError;
use lapwing_methods::metrics::{neighbour_purity, silhouette};
use lapwing_methods::{Scorer, TsneConfig, principal_plane, silent};
use lapwing_models::{Fitted, Plan};
use lapwing_report::Picture;
use lapwing_report::charts::{HeatMap, KDistance, Panel, Scatter};
use lapwing_tables::Table;

const MAP_ROWS: usize = 1_200;
/// Kinds with their own color in a map; the others share one.
const MAP_KINDS: usize = 7;
/// Neighbours for the purity of a map.
const NEIGHBOURS: usize = 10;
/// Rows for the correlation chart.
const CORRELATION_ROWS: usize = 20_000;

/// t-SNE of the encoded test rows, and of their latent values if the method has a latent space.
pub(super) fn tsne(table: &Table, plan: &Plan, evaluated: &Evaluated) -> Result<Picture, EvaluateError> {
    let encoded = &evaluated.prepared.test;
    let mut panels = Vec::new();
    let (groups, group_of) = groups(table, &encoded.rows);
    let latent = evaluated.fitted.latent(&encoded.matrix);
    for (title, matrix) in [("Encoded features", Some(&encoded.matrix)), ("Latent space", latent.as_ref())] {
        let Some(matrix) = matrix else { continue };
        let config = TsneConfig { limit: MAP_ROWS, iterations: 500, ..TsneConfig::default() };
        let projection = config.project(matrix, plan.seed, &silent)?;
        let kinds: Vec<u32> = encoded.rows.iter().map(|row| u32::from(table.kind()[*row])).collect();
        let purity = neighbour_purity(matrix, &kinds, NEIGHBOURS, MAP_ROWS, plan.seed)?;
        let classes: Vec<u32> = kinds.iter().map(|kind| (*kind).min(1)).collect();
        let apart = silhouette(matrix, &classes, MAP_ROWS, plan.seed).map_or(f64::NAN, |silhouette| silhouette.value);
        let point = |(index, row): (usize, &usize)| {
            let at = projection.places.row(index);
            (f64::from(at[0]), f64::from(at[1]), group_of[*row])
        };
        panels.push(Panel {
            title: title.into(),
            note: format!("{NEIGHBOURS}-NN purity {:.3}, silhouette of attacks {apart:.3}", purity.value),
            points: projection.rows.iter().enumerate().map(point).collect(),
        });
    }
    let note = format!(
        "t-SNE of {} of {} test rows, sampled by seed. Group sizes and distances between groups have no meaning; the \
         figures below are computed in the full space.",
        encoded.rows.len().min(MAP_ROWS),
        encoded.rows.len()
    );
    Ok(Scatter { title: "t-SNE map of test rows".into(), note, groups, panels, axes: None }.picture()?)
}

/// Names of the groups, and the group of each row.
fn groups(table: &Table, rows: &[usize]) -> (Vec<String>, Vec<usize>) {
    let counts = table.kind_counts();
    let mut order: Vec<usize> = (1..counts.len()).collect();
    order.sort_by_key(|kind| std::cmp::Reverse(counts[*kind]));
    let shown: Vec<usize> = std::iter::once(0).chain(order.into_iter().take(MAP_KINDS - 1)).collect();
    let mut names: Vec<String> = shown.iter().map(|kind| table.kinds()[*kind].clone()).collect();
    if counts.len() > shown.len() {
        names.push("other classes".into());
    }
    let group = |row: &usize| {
        let kind = usize::from(table.kind()[*row]);
        shown.iter().position(|other| *other == kind).unwrap_or(shown.len())
    };
    (names, rows.iter().map(group).collect())
}

/// The k-distance curve and the clusters, if the method is DBSCAN.
pub(super) fn clusters(plan: &Plan, evaluated: &Evaluated) -> Result<Vec<Picture>, EvaluateError> {
    let Fitted::Scorer(Scorer::Dbscan(fitted)) = &evaluated.fitted else { return Ok(Vec::new()) };
    let distances = fitted.k_distances().iter().map(|distance| f64::from(*distance)).collect();
    let k = lapwing_methods::DbscanConfig::default().neighbours;
    let curve = KDistance { k, distances, eps: f64::from(fitted.radius()) }.picture()?;
    let (rows, clusters): (Vec<usize>, Vec<Option<u32>>) = fitted.clusters().unzip();
    let plane = principal_plane(&evaluated.prepared.training.matrix.select_rows(&rows))?;
    const SHOWN: u32 = 6;
    let group = |cluster: &Option<u32>| match cluster {
        None => 0,
        Some(cluster) => 1 + (*cluster).min(SHOWN) as usize,
    };
    let count = clusters.iter().flatten().max().map_or(0, |last| last + 1);
    let mut names: Vec<String> = vec!["noise".into()];
    names.extend((0..count.min(SHOWN)).map(|cluster| format!("cluster {}", cluster + 1)));
    if count > SHOWN {
        names.push(format!("{} smaller clusters", count - SHOWN));
    }
    let point = |(row, cluster): (&[f32], &Option<u32>)| (f64::from(row[0]), f64::from(row[1]), group(cluster));
    let points = plane.iter().zip(&clusters).map(point).collect();
    let (kept, of) = fitted.kept();
    let note =
        format!("{kept} of {of} benign training rows on their first two principal components, seed {}.", plan.seed);
    let panel = Panel { title: String::new(), note: format!("{count} clusters"), points };
    let axes = Some(("first component (deviations)".into(), "second component (deviations)".into()));
    let map = Scatter { title: "Clusters of DBSCAN".into(), note, groups: names, panels: vec![panel], axes };
    Ok(vec![curve, map.picture()?])
}

/// Rank correlation of the numeric features that vary over training rows; `None` if all are constant.
pub(super) fn correlation(table: &Table, evaluated: &Evaluated) -> Result<Option<Picture>, EvaluateError> {
    let rows = evaluated.prepared.training_rows.as_slice();
    let step = rows.len().div_ceil(CORRELATION_ROWS).max(1);
    let rows: Vec<usize> = rows.iter().copied().step_by(step).collect();
    let (names, values) = table.correlations(&rows);
    let title = "Rank correlation of numeric features, training rows".into();
    if names.is_empty() {
        return Ok(None);
    }
    Ok(Some(HeatMap { title, names, values }.picture()?))
}
