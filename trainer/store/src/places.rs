//! A store's setting → the place of its segments.

use crate::error::StoreError;
use crate::url::StoreUrl;
use lapwing_segments::{Folder, Place};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Ending of the default folder, beside the SQLite file.
const ENDING: &str = ".segments";
/// Prefix of object storage.
const S3: &str = "s3://";

/// The folder of a store's segments: `setting`, relative to the folder of an SQLite file, or else the default one; `None`
/// for a database without a setting, and for object storage.
pub fn folder(url: &StoreUrl, setting: Option<&str>) -> Option<PathBuf> {
    if setting.is_some_and(|setting| setting.starts_with(S3)) {
        return None;
    }
    match url {
        StoreUrl::Sqlite(path) => Some(match setting {
            Some(setting) => path.parent().unwrap_or(Path::new("")).join(setting),
            None => {
                let mut name = path.as_os_str().to_owned();
                name.push(ENDING);
                name.into()
            }
        }),
        StoreUrl::Postgres(_) => setting.map(PathBuf::from),
    }
}

/// Opens the place of a store's segments: a folder, or `s3://BUCKET/PREFIX`; without a setting, the default folder beside an
/// SQLite file.
///
/// # Errors
/// When a database has no setting, or object storage cannot be used.
pub fn open_place(url: &StoreUrl, setting: Option<&str>) -> Result<Arc<dyn Place>, StoreError> {
    if let Some(place) = setting.filter(|setting| setting.starts_with(S3)) {
        return object_storage(place);
    }
    let folder = folder(url, setting).ok_or_else(|| StoreError::NoPlace { store: url.to_string() })?;
    Ok(Arc::new(Folder::existing(&folder)))
}

#[cfg(not(feature = "object-store"))]
fn object_storage(place: &str) -> Result<Arc<dyn Place>, StoreError> {
    Err(StoreError::PlaceNotBuilt { place: place.into() })
}

#[cfg(feature = "object-store")]
fn object_storage(place: &str) -> Result<Arc<dyn Place>, StoreError> {
    Ok(Arc::new(lapwing_segments::Bucket::from_environment(place, lapwing_common::clock::now_s)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_folder_is_beside_the_file_and_a_setting_is_relative_to_it() {
        let of = |url: &str, setting: Option<&str>| folder(&StoreUrl::from(Path::new(url)), setting);
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(of("/var/lib/store.sqlite", None), path("/var/lib/store.sqlite.segments"));
        assert_eq!(of("store.sqlite", Some("rows")), path("rows"));
        assert_eq!(of("/var/lib/store.sqlite", Some("rows")), path("/var/lib/rows"));
        assert_eq!(of("/var/lib/store.sqlite", Some("/mnt/rows")), path("/mnt/rows"));
        assert_eq!(of("postgres://hub/fleet", Some("/mnt/rows")), path("/mnt/rows"));
        assert_eq!(of("postgres://hub/fleet", None), None);
        let url = StoreUrl::from(Path::new("postgres://lapwing:s3cret@hub/fleet"));
        let error = open_place(&url, None).err().unwrap().to_string();
        assert!(error.contains("set store.segments") && !error.contains("s3cret"), "{error}");
    }

    #[cfg(not(feature = "object-store"))]
    #[test]
    fn object_storage_without_support_is_a_clear_error() {
        let error =
            open_place(&StoreUrl::from(Path::new("store.sqlite")), Some("s3://rows")).err().unwrap().to_string();
        assert!(error.contains("s3://rows: this program is built without object storage"), "{error}");
    }
}
