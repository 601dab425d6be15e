//! Tables and the place of segments together, from which feature rows are read.

use crate::error::StoreError;
use crate::places::{folder, open_place};
use crate::traits::Handle;
use crate::url::StoreUrl;
use lapwing_segments::Place;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

/// The place of a store's segments, opened when it is needed.
pub(crate) struct SegmentPlace {
    url: StoreUrl,
    place: OnceCell<Arc<dyn Place>>,
    /// Segments that were compared with their digests.
    pub(crate) verified: RefCell<BTreeSet<i64>>,
}

impl SegmentPlace {
    /// The place that the store names.
    pub(crate) fn of(url: StoreUrl) -> Self {
        Self { url, place: OnceCell::new(), verified: RefCell::default() }
    }

    /// This place instead of the one that the store names.
    pub(crate) fn given(self, place: Arc<dyn Place>) -> Self {
        Self { place: OnceCell::from(place), ..self }
    }
}

/// Where feature rows are read from.
#[derive(Clone, Copy)]
pub(crate) struct RowStore<'store> {
    pub(crate) handle: &'store dyn Handle,
    pub(crate) segments: &'store SegmentPlace,
}

impl RowStore<'_> {
    /// The place of the segments.
    pub(crate) fn place(&self) -> Result<Arc<dyn Place>, StoreError> {
        let SegmentPlace { url, place, .. } = self.segments;
        if let Some(place) = place.get() {
            return Ok(Arc::clone(place));
        }
        let opened = open_place(url, self.handle.segments_place()?.as_deref())?;
        Ok(Arc::clone(place.get_or_init(|| opened)))
    }

    /// The folder of the segments; `None` if they are elsewhere.
    pub(crate) fn folder(&self) -> Result<Option<PathBuf>, StoreError> {
        Ok(folder(&self.segments.url, self.handle.segments_place()?.as_deref()))
    }
}

impl<'store> Deref for RowStore<'store> {
    type Target = dyn Handle + 'store;

    fn deref(&self) -> &Self::Target {
        self.handle
    }
}
