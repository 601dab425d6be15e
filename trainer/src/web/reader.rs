//! Questions to the store, on threads of their own, each with a connection that cannot write.

use crate::store::{Desk, StoreError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Questions that wait or are answered at once; more are refused, so that a crowd of browsers takes no memory.
const QUESTIONS: usize = 16;
/// Connections that are kept between questions.
const KEPT: usize = 4;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// Too many at once.
    #[error("{QUESTIONS} questions are being answered, the most at once; try again")]
    Busy,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread.
    #[error("the question could not be answered: {0}")]
    Failed(String),
}

/// The store, read.
pub(super) struct Reader {
    path: PathBuf,
    kept: Mutex<Vec<Desk>>,
    places: Semaphore,
}

impl Reader {
    /// Of a store that exists by the time of the first question.
    pub(super) fn new(path: &Path) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), kept: Mutex::new(Vec::new()), places: Semaphore::new(QUESTIONS) })
    }

    /// Asks; the answer is made on a thread where waiting harms nobody.
    pub(super) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Desk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let _place = self.places.try_acquire().map_err(|_| ReadError::Busy)?;
        let reader = Arc::clone(self);
        let answered = tokio::task::spawn_blocking(move || {
            let desk = reader.take()?;
            let answer = question(&desk)?;
            // A connection that failed is not used again.
            reader.keep(desk);
            Ok::<T, StoreError>(answer)
        });
        Ok(answered.await.map_err(|error| ReadError::Failed(error.to_string()))??)
    }

    fn take(&self) -> Result<Desk, StoreError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.map_or_else(|| Desk::open_reading(&self.path), Ok)
    }

    fn keep(&self, desk: Desk) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(desk);
        }
    }
}
