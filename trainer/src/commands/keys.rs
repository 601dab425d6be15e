//! `keys new`: a signing pair in two files.

use crate::release::keys::{KeyError, ReleaseKey};
use crate::tell::tell;
use std::path::PathBuf;

/// `keys new`; the files are `NAME.key` and `NAME.pub` where no others are named.
pub(crate) fn new(name: &str, secret: Option<PathBuf>, public: Option<PathBuf>) -> Result<(), KeyError> {
    let key = ReleaseKey::generate(name)?;
    let secret = secret.unwrap_or_else(|| format!("{name}.key").into());
    let public = public.unwrap_or_else(|| format!("{name}.pub").into());
    key.save(&secret, &public)?;
    tell!("secret key: {} (keep it here: who has it can send models to your agents)", secret.display());
    tell!("public key: {} (give it to the agents)", public.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Folder;
    use lapwing_shared::release::signature::TrustedKeys;

    #[test]
    fn a_new_pair_reads_back_and_is_never_overwritten() {
        let folder = Folder::new();
        let (secret, public) = (folder.path().join("a.key"), folder.path().join("a.pub"));
        new("site-1", Some(secret.clone()), Some(public.clone())).unwrap();
        let key = ReleaseKey::load(&secret).unwrap().public().unwrap();
        let trusted = TrustedKeys::parse(&std::fs::read_to_string(&public).unwrap()).unwrap();
        assert_eq!(trusted.iter().cloned().collect::<Vec<_>>(), [key]);
        let again = new("site-1", Some(secret), Some(public)).unwrap_err();
        assert!(again.to_string().contains("never overwritten"), "{again}");
        assert!(new("no name", None, None).is_err());
    }
}
