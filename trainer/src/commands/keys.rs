//! Signing keys: an Ed25519 pair, the secret half in a file for its owner only, the public half as the agents read it.
//!
//! Secret file: one line, `lapwing-secret-key-v1 NAME 64-HEX-DIGITS`. Public file: the line of
//! [`lapwing_shared::release::signature::TrustedKey`].

use anyhow::{Context, bail};
use ed25519_dalek::SigningKey;
use lapwing_shared::release::digest::{Hex, parse_digest};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::release::name::parse_name;
use lapwing_shared::release::signature::TrustedKey;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// First word of a secret key's line.
const TAG: &str = "lapwing-secret-key-v1";

/// `keys new`.
pub(crate) fn new(name: &str, secret: Option<PathBuf>, public: Option<PathBuf>) -> anyhow::Result<()> {
    let Some(id) = parse_name(name) else { bail!("key name `{name}`: expected 1 to 32 of a-z A-Z 0-9 - _ .") };
    let secret = secret.unwrap_or_else(|| format!("{name}.key").into());
    let public = public.unwrap_or_else(|| format!("{name}.pub").into());
    let mut seed = [0; 32];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed)).context("/dev/urandom")?;
    let key = SigningKey::from_bytes(&seed);
    let trusted = TrustedKey::new(id, key.verifying_key().to_bytes())?;
    write_new(&secret, 0o600, &format!("{TAG} {name} {}\n", Hex(&seed)))?;
    write_new(&public, 0o644, &format!("{trusted}\n"))?;
    println!("secret key: {} (keep it here: who has it can send models to your agents)", secret.display());
    println!("public key: {} (give it to the agents)", public.display());
    Ok(())
}

fn write_new(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let told = || format!("cannot make {}: an existing file is never overwritten", path.display());
    let mut file = File::options().write(true).create_new(true).mode(mode).open(path).with_context(told)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(told)
}

/// Reads a secret key file: the key's name and the key.
///
/// # Errors
/// When it cannot be read, is no such file, or others may read it.
pub fn read_secret(path: &Path) -> anyhow::Result<(Name, SigningKey)> {
    let told = || format!("secret key {}", path.display());
    let mode = std::fs::metadata(path).with_context(told)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("secret key {} may be read by others; run `chmod 600` on it", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(told)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let parsed = match words.as_slice() {
        [TAG, name, digits] => parse_name(name).zip(parse_digest(digits)),
        _ => None,
    };
    let Some((name, seed)) = parsed else {
        bail!("{} is no secret key; make one with `lapwing-trainer keys new NAME`", path.display());
    };
    Ok((name, SigningKey::from_bytes(&seed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Folder;
    use lapwing_shared::release::signature::TrustedKeys;

    #[test]
    fn a_new_pair_reads_back_is_private_and_is_never_overwritten() {
        let folder = Folder::new();
        let (secret, public) = (folder.path().join("a.key"), folder.path().join("a.pub"));
        new("site-1", Some(secret.clone()), Some(public.clone())).unwrap();
        let (name, key) = read_secret(&secret).unwrap();
        let trusted = TrustedKeys::parse(&std::fs::read_to_string(&public).unwrap()).unwrap();
        let trusted: Vec<_> = trusted.iter().map(|key| (key.id().clone(), key.public())).collect();
        assert_eq!(trusted, [(name, key.verifying_key().to_bytes())]);
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        let again = new("site-1", Some(secret), Some(public)).unwrap_err();
        assert!(again.to_string().contains("never overwritten"), "{again}");
    }

    #[test]
    fn wrong_secret_keys_are_refused_with_the_next_step() {
        let folder = Folder::new();
        let path = folder.path().join("a.key");
        std::fs::write(&path, "lapwing-secret-key-v1 a 00\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_secret(&path).unwrap_err().to_string().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read_secret(&path).unwrap_err().to_string().contains("keys new NAME"));
        assert!(new("no name", None, None).is_err());
    }
}
