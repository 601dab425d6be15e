//! The stores on which a test runs: an SQLite file, and a database of the server that `LAPWING_POSTGRES` names.

pub use lapwing_store::contract::TestStore;
pub use lapwing_store::testing::Folder as SqliteFile;
pub use lapwing_store::testing::postgres::Database;
use lapwing_store::{StoreHandle, StoreUrl};
use std::ffi::OsString;

/// The trainer's `--store` for a test's store.
pub fn argument(store: &impl TestStore) -> OsString {
    match store.url() {
        StoreUrl::Sqlite(path) => path.into(),
        StoreUrl::Postgres(url) => url.into(),
    }
}

/// Number of all stored messages.
///
/// # Panics
/// When the store cannot be read.
pub fn stored_messages(handle: &StoreHandle) -> u64 {
    handle.message_counts().unwrap().iter().sum()
}

/// Two `#[test]`s of each function, one for each store. The function takes the store, a [`TestStore`], as type parameter.
///
/// Without a PostgreSQL server, the tests on PostgreSQL are skipped and listed.
#[macro_export]
macro_rules! on_each_store {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $crate::on_each_store! { $crate::stage::stores::SqliteFile; $($test),+ }
        }
        mod on_postgres {
            $crate::on_each_store! { $crate::stage::stores::Database; $($test),+ }
        }
    };
    ($store:ty; $($test:ident),+) => {
        $(
            #[test]
            fn $test() {
                if <$store as $crate::stage::stores::TestStore>::is_available() {
                    super::$test::<$store>();
                }
            }
        )+
    };
}
