//! Bundles of rows that must stay together → subsets of given shares, stratified by kind.

use crate::table::Table;

/// Rows grouped into bundles; each bundle goes to one subset as a whole.
pub(super) struct Bundles {
    /// All rows, bundle after bundle.
    rows: Vec<usize>,
    /// End of each bundle in `rows`.
    bundle_ends: Vec<usize>,
}

impl Bundles {
    /// One bundle for each row.
    pub(super) fn single(rows: &[usize]) -> Self {
        Self { rows: rows.to_vec(), bundle_ends: (1..=rows.len()).collect() }
    }

    /// One bundle for each distinct key. Bundles are ordered by their first row, so the result does not depend on hash
    /// values.
    pub(super) fn by_key(rows: &[usize], key: impl Fn(usize) -> u64) -> Self {
        let mut first = std::collections::HashMap::with_capacity(rows.len() / 2);
        let mut order: Vec<(u32, usize)> = Vec::with_capacity(rows.len());
        for row in rows {
            let next = first.len() as u32;
            order.push((*first.entry(key(*row)).or_insert(next), *row));
        }
        order.sort_unstable();
        let mut bundle_ends: Vec<usize> = (1..order.len()).filter(|at| order[*at].0 != order[at - 1].0).collect();
        if !order.is_empty() {
            bundle_ends.push(order.len());
        }
        Self { rows: order.into_iter().map(|(_, row)| row).collect(), bundle_ends }
    }

    fn len(&self) -> usize {
        self.bundle_ends.len()
    }

    fn bundle(&self, index: usize) -> &[usize] {
        let start = if index == 0 { 0 } else { self.bundle_ends[index - 1] };
        &self.rows[start..self.bundle_ends[index]]
    }
}

/// Assigns each bundle, in an order drawn by seed, to the subset that is furthest below its share of the bundle's kind
/// (the kind of its first row). A kind with few bundles fills the subsets in order, so pass training first, then test.
pub(super) fn assign(table: &Table, bundles: &Bundles, shares: &[f64], seed: u64) -> Vec<Vec<usize>> {
    let mut by_kind = vec![Vec::new(); table.kinds().len()];
    for index in 0..bundles.len() {
        let first = bundles.bundle(index).first();
        if let Some(row) = first {
            by_kind[usize::from(table.kind()[*row])].push(index);
        }
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut subsets = vec![Vec::new(); shares.len()];
    for indices in &mut by_kind {
        random.shuffle(indices);
        let total: usize = indices.iter().map(|index| bundles.bundle(*index).len()).sum();
        let mut assigned = vec![0.0; shares.len()];
        for index in indices {
            let bundle = bundles.bundle(*index);
            let deficit = |subset: usize| 1.0 - assigned[subset] / (shares[subset] * total as f64);
            let open = (0..shares.len()).filter(|subset| shares[*subset] > 0.0);
            let Some(subset) = open.reduce(|best, subset| if deficit(subset) > deficit(best) { subset } else { best })
            else {
                break;
            };
            assigned[subset] += bundle.len() as f64;
            subsets[subset].extend_from_slice(bundle);
        }
    }
    subsets
}
