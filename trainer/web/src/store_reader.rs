//! Queries → answers from the store, on blocking threads; with connections that only read, or that may change it.

use lapwing_store::{StoreError, StoreHandle, StoreUrl};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Concurrent queries, waiting ones included; more are rejected, so that many browsers cannot take much memory.
const QUERIES: usize = 16;
/// Idle connections kept open.
const POOLED: usize = 4;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{QUERIES} queries are already running; try again")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread panicked.
    #[error("the query failed: {0}")]
    Failed(String),
}

/// A pool of connections to the store.
pub(crate) struct StoreReader {
    store: StoreUrl,
    may_change: bool,
    idle: Mutex<Vec<StoreHandle>>,
    permits: Semaphore,
}

impl StoreReader {
    /// The store must exist when the first query runs.
    pub(crate) fn new(store: &StoreUrl) -> Arc<Self> {
        Self::of(store, false)
    }

    /// Whose connections may change the store.
    pub(crate) fn changing(store: &StoreUrl) -> Arc<Self> {
        Self::of(store, true)
    }

    fn of(store: &StoreUrl, may_change: bool) -> Arc<Self> {
        let (store, idle, permits) = (store.clone(), Mutex::new(Vec::new()), Semaphore::new(QUERIES));
        Arc::new(Self { store, may_change, idle, permits })
    }

    /// Runs `query` on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&StoreHandle) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let _permit = self.permits.try_acquire().map_err(|_| ReadError::Busy)?;
        let reader = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let handle = reader.take()?;
            let answer = query(&handle)?;
            // After an error the connection is dropped instead.
            reader.put_back(handle);
            Ok::<T, StoreError>(answer)
        });
        Ok(answer.await.map_err(|error| ReadError::Failed(error.to_string()))??)
    }

    fn take(&self) -> Result<StoreHandle, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let open = || match self.may_change {
            true => StoreHandle::open(&self.store),
            false => StoreHandle::open_reading(&self.store),
        };
        idle.map_or_else(open, Ok)
    }

    fn put_back(&self, handle: StoreHandle) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < POOLED {
            idle.push(handle);
        }
    }
}

impl Drop for StoreReader {
    /// Closing a connection may block, which a task of the runtime must not, and the last user may be one.
    fn drop(&mut self) {
        let idle = std::mem::take(self.idle.get_mut().unwrap_or_else(PoisonError::into_inner));
        let _ = std::thread::Builder::new().name("close-store".into()).spawn(move || drop(idle));
    }
}
