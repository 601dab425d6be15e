//! Configuration → what replaces the addresses of alerts before they leave the gateway.

use crate::config::{AddressMode, Config};
use crate::disk::{Disk, Folder};
use crate::random::fill_random;
use anyhow::Context;
use lapwing_shared::privacy::{AddressKey, Protection};
use std::path::Path;

/// Name of the key's file in the folder that outlasts a reboot.
pub(crate) const FILE: &str = "address-key";
const NO_FOLDER: &str = "privacy.addresses = \"pseudonym\" needs a key: set privacy.key-file, or update.state-dir, where the \
                         agent creates one";

/// The configured protection of alerts; `None` for plain addresses. Creates the key of pseudonyms if it is missing.
///
/// # Errors
/// When the key cannot be read or created, or is invalid.
pub(crate) fn protection(config: &Config) -> anyhow::Result<Option<Protection>> {
    Ok(match config.privacy.addresses {
        AddressMode::Plain => None,
        AddressMode::None => Some(Protection::hidden(random_key()?)),
        AddressMode::Pseudonym => {
            let key = match stored_key(config)? {
                Some(key) => key,
                None => create(config)?,
            };
            Some(Protection::pseudonyms(key))
        }
    })
}

/// The key of pseudonyms; `None` if the agent will create it.
///
/// # Errors
/// When it cannot be read, or is invalid.
pub(crate) fn stored_key(config: &Config) -> anyhow::Result<Option<AddressKey>> {
    if let Some(path) = &config.privacy.key_file {
        let key = read(path)?.map(Some);
        return key.with_context(|| {
            let path = path.display();
            format!("privacy.key-file: {path} is missing; create it with `lapwing-trainer privacy new-key {path}`")
        });
    }
    read(&config.identity_dir().context(NO_FOLDER)?.join(FILE))
}

fn read(path: &Path) -> anyhow::Result<Option<AddressKey>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let key = AddressKey::parse(&text).map(Some);
    key.with_context(|| {
        format!("{} is not a key of pseudonyms; expected one line `lapwing-address-key-v1 …`", path.display())
    })
}

fn create(config: &Config) -> anyhow::Result<AddressKey> {
    let folder = config.identity_dir().context(NO_FOLDER)?;
    let key = random_key()?;
    let written = Folder::open(folder).and_then(|mut disk| disk.replace(FILE, key.file().to_string().as_bytes()));
    written.with_context(|| format!("cannot create {}", folder.join(FILE).display()))?;
    tracing::info!(key = %key.id(), file = %folder.join(FILE).display(), "key of pseudonyms created");
    Ok(key)
}

fn random_key() -> anyhow::Result<AddressKey> {
    let mut bytes = [0; 32];
    fill_random(&mut bytes).context("cannot get random bytes from the system")?;
    Ok(AddressKey::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::messages::AddressForm;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    fn folder(test: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lapwing-privacy-{test}-{}", std::process::id()))
    }

    fn form(text: &str) -> anyhow::Result<Option<AddressForm>> {
        Ok(protection(&Config::parse(text).unwrap())?.map(|protection| protection.form()))
    }

    #[test]
    fn the_agent_creates_its_key_once_and_keeps_it() {
        let folder = folder("creates");
        let text = format!("[privacy]\naddresses = 'pseudonym'\n[update]\nstate-dir = '{}'\n", folder.display());
        assert_eq!(stored_key(&Config::parse(&text).unwrap()).unwrap(), None);
        let first = form(&text).unwrap().unwrap();
        assert!(matches!(first, AddressForm::Pseudonym(_)));
        assert_eq!(form(&text).unwrap(), Some(first), "after a restart");
        let mode = std::fs::metadata(folder.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = text.replace("state-dir", "version-dir");
        assert_eq!(form(&other).unwrap(), Some(first), "the folder that outlasts a reboot");
        std::fs::write(folder.join(FILE), "damaged").unwrap();
        assert!(form(&text).unwrap_err().to_string().contains("not a key of pseudonyms"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_key_file_is_used_and_never_created() {
        let file = folder("file");
        let text = format!("[privacy]\naddresses = 'pseudonym'\nkey-file = '{}'\n", file.display());
        let error = form(&text).unwrap_err().to_string();
        assert!(error.contains("is missing") && error.contains("new-key"), "{error}");
        let key = AddressKey::new([7; 32]);
        std::fs::write(&file, key.file().to_string()).unwrap();
        assert_eq!(form(&text).unwrap(), Some(AddressForm::Pseudonym(key.id())));
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn addresses_are_plain_unless_configured_and_hiding_needs_no_key() {
        assert_eq!(form("").unwrap(), None);
        assert_eq!(form("[privacy]\naddresses = 'none'\n").unwrap(), Some(AddressForm::Hidden));
        let error = form("[privacy]\naddresses = 'pseudonym'\n").unwrap_err().to_string();
        assert!(error.contains("privacy.key-file"), "{error}");
        assert!(Config::parse("[privacy]\naddresses = 'hashed'\n").is_err());
    }
}
