//! Bundles of rows that must stay together → sides, in shares, each kind spread over all sides.

use crate::table::Table;

/// Rows that go to one side together, as a range of [`Bundles::rows`].
pub(super) struct Bundles {
    /// All rows, bundle after bundle.
    rows: Vec<usize>,
    /// Where each bundle ends in `rows`.
    ends: Vec<usize>,
}

impl Bundles {
    /// One bundle for each row.
    pub(super) fn single(rows: &[usize]) -> Self {
        Self { rows: rows.to_vec(), ends: (1..=rows.len()).collect() }
    }

    /// One bundle for each distinct key. Bundles come in the order of their first row, so that the result depends on
    /// the rows and not on hash values.
    pub(super) fn by_key(rows: &[usize], key: impl Fn(usize) -> u64) -> Self {
        let mut first = std::collections::HashMap::with_capacity(rows.len() / 2);
        let mut order: Vec<(u32, usize)> = Vec::with_capacity(rows.len());
        for row in rows {
            let next = first.len() as u32;
            order.push((*first.entry(key(*row)).or_insert(next), *row));
        }
        order.sort_unstable();
        let mut ends: Vec<usize> = (1..order.len()).filter(|at| order[*at].0 != order[at - 1].0).collect();
        if !order.is_empty() {
            ends.push(order.len());
        }
        Self { rows: order.into_iter().map(|(_, row)| row).collect(), ends }
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn bundle(&self, index: usize) -> &[usize] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.rows[start..self.ends[index]]
    }
}

/// Gives each bundle to the side that lacks most of its share of the bundle's kind (that of its first row), in an
/// order drawn by seed. A kind with few bundles goes to the sides in order: name training first, then test.
pub(super) fn assign(table: &Table, bundles: &Bundles, shares: &[f64], seed: u64) -> Vec<Vec<usize>> {
    let mut of_kind = vec![Vec::new(); table.kinds().len()];
    for index in 0..bundles.len() {
        let first = bundles.bundle(index).first();
        if let Some(row) = first {
            of_kind[usize::from(table.kind()[*row])].push(index);
        }
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sides = vec![Vec::new(); shares.len()];
    for indices in &mut of_kind {
        random.shuffle(indices);
        let total: usize = indices.iter().map(|index| bundles.bundle(*index).len()).sum();
        let mut given = vec![0.0; shares.len()];
        for index in indices {
            let bundle = bundles.bundle(*index);
            let lack = |side: usize| 1.0 - given[side] / (shares[side] * total as f64);
            let open = (0..shares.len()).filter(|side| shares[*side] > 0.0);
            let Some(side) = open.reduce(|best, side| if lack(side) > lack(best) { side } else { best }) else { break };
            given[side] += bundle.len() as f64;
            sides[side].extend_from_slice(bundle);
        }
    }
    sides
}
