//! The certificate authority of the enrolment port: `authority`.

use super::store_args::StoreArgs;
use super::user;
use crate::access::service_name;
use crate::config::{Config, EnrolmentSection};
use crate::replaced_file::replace;
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use lapwing_authority::{Authority, IssuedPem, ROTATION_DAYS, random};
use lapwing_common::format::when;
use lapwing_common::{clock, print_line};
use lapwing_shared::release::digest::Hex;
use lapwing_store::StoreHandle;
use std::path::{Path, PathBuf};

/// Mode of new files: only their owner reads the key.
const MODE: u32 = 0o600;

/// Options of every action.
#[derive(Debug, Args)]
pub(crate) struct FolderArgs {
    /// Configuration file [default: none].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the authority's key; overrides enrolment.authority.
    #[arg(long, value_name = "FOLDER")]
    authority: Option<PathBuf>,
}

impl FolderArgs {
    pub(crate) fn section(&self) -> anyhow::Result<EnrolmentSection> {
        let mut section = self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?.enrolment;
        section.authority = self.authority.clone().unwrap_or(section.authority);
        Ok(section)
    }
}

/// `authority`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthorityCommand {
    /// Print the certificates that brokers should trust (PEM): those of the present authority, the next and the previous one.
    #[command(
        after_help = "Example:\n  lapwing-trainer authority trusted --config trainer.toml > /etc/mosquitto/lapwing-ca.pem"
    )]
    Trusted {
        /// Where the authority is.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Issue a certificate for a broker, so that agents trust it; valid for 90 days.
    #[command(
        after_help = "Examples:\n  lapwing-trainer authority server hub.lan --certificate hub.pem --key hub.key\n  \
                            lapwing-trainer authority server hub.lan --certificate hub.pem --key hub.key --replace"
    )]
    Server {
        /// Where the authority is.
        #[command(flatten)]
        folder: FolderArgs,
        /// Host names and addresses of the broker.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// File for the certificate and that of the authority, PEM.
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        /// File for the key, PEM, readable by its owner only.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Replace existing files, each atomically; they keep mode and group. Reload the broker afterwards.
        #[arg(long)]
        replace: bool,
    },
    /// Issue a certificate for a program that reads alerts and statuses at a broker, such as Home Assistant. List its name in
    /// broker.readers.
    #[command(
        after_help = "Example:\n  lapwing-trainer authority client _hass --certificate hass.pem --key hass.key --config trainer.toml"
    )]
    Client {
        /// Where the authority is.
        #[command(flatten)]
        folder: FolderArgs,
        /// Name of the program; begins with `_`.
        #[arg(value_parser = service_name)]
        name: String,
        /// Validity, days.
        #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
        /// File for the certificate, PEM.
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        /// File for the key, PEM, readable by its owner only.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Replace existing files, each atomically; they keep mode and group.
        #[arg(long)]
        replace: bool,
    },
    /// Begin a rotation: create the next authority and announce it to agents.
    #[command(after_help = "Example:\n  lapwing-trainer authority announce --config /etc/lapwing-trainer/trainer.toml")]
    Announce {
        /// Where the authority is.
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// End a rotation: the next authority issues from now on. Ends every token.
    #[command(after_help = "Example:\n  lapwing-trainer authority switch --config /etc/lapwing-trainer/trainer.toml")]
    Switch {
        /// Where the authority is.
        #[command(flatten)]
        folder: FolderArgs,
        /// Switch although agents may still have certificates from before the announcement. They reach neither the broker nor
        /// the enrolment port afterwards, and must be enrolled again with a new token.
        #[arg(long)]
        early: bool,
    },
    /// Replace the secret of the agents' seal keys, e.g. after the store was stolen. Agents get their new keys from the
    /// enrolment port; keys of the secret before it are valid until the next call.
    #[command(after_help = "Example:\n  lapwing-trainer authority reseal --config /etc/lapwing-trainer/trainer.toml")]
    Reseal(StoreArgs),
}

/// `authority`.
pub(crate) fn run_authority(command: &AuthorityCommand) -> anyhow::Result<()> {
    let now_s = clock::now_s();
    match command {
        AuthorityCommand::Trusted { folder } => {
            let trusted = folder.section()?.authority()?.trusted_pem()?;
            print_line!("{}", trusted.trim_end());
        }
        AuthorityCommand::Server { folder, names, certificate, key, replace: replaces } => {
            let issued = folder.section()?.authority()?.issue_server_pem(names, now_s)?;
            write_issued(&issued, certificate, key, *replaces)?;
        }
        AuthorityCommand::Client { folder, name, days, certificate, key, replace: replaces } => {
            let until_s = now_s.saturating_add(u64::from(*days) * 86_400);
            let issued = folder.section()?.authority()?.issue_client_pem(name, now_s, until_s)?;
            write_issued(&issued, certificate, key, *replaces)?;
        }
        AuthorityCommand::Announce { folder } => {
            let section = folder.section()?;
            let passphrase = section.passphrase()?;
            Authority::open(&section.authority, passphrase.as_ref())?.announce_next(passphrase.as_ref(), now_s)?;
            print_line!(
                "agents learn the next authority with their next certificates; restart `serve` now, give brokers"
            );
            print_line!("`authority trusted` again, and run `authority switch` in {ROTATION_DAYS} days");
        }
        AuthorityCommand::Switch { folder, early } => {
            let section = folder.section()?;
            let passphrase = section.passphrase()?;
            let authority = Authority::open(&section.authority, passphrase.as_ref())?;
            let announced_s = authority.announced_s()?;
            let renewed_s = announced_s.saturating_add(section.lifetime_s());
            ensure!(
                *early || announced_s == 0 || now_s >= renewed_s,
                "agents that have not renewed since the announcement at {} would lose their connection for good; all have \
                 renewed at {}: switch then, or with --early",
                when(announced_s),
                when(renewed_s)
            );
            let switched = authority.switch(passphrase.as_ref())?;
            print_line!(
                "authority {} issues from now on; restart `serve`, and create new tokens",
                Hex(switched.public_hash())
            );
        }
        AuthorityCommand::Reseal(store) => {
            StoreHandle::open(&store.url()?)?.replace_seals(&random()?, &user(), now_s)?;
            print_line!(
                "new seal keys are in use; those of the last call are valid until the next one, older ones ended"
            );
            print_line!(
                "run `lapwing-agent enroll` on every gateway; if a key may be in wrong hands, end it with a second call then"
            );
        }
    }
    Ok(())
}

/// Writes a certificate and its key.
fn write_issued(issued: &IssuedPem, certificate: &Path, key: &Path, replaces: bool) -> anyhow::Result<()> {
    for path in [key, certificate] {
        ensure!(replaces || !path.exists(), "{} exists; choose another file, or use --replace", path.display());
    }
    write(key, &issued.key)?;
    write(certificate, &issued.chain)?;
    let until = when(issued.until_s);
    print_line!("{} is valid until {until} UTC; configure a renewal before", certificate.display());
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    replace(path, text.as_bytes(), MODE).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_store::testing::Folder;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_brokers_certificate_is_replaced_on_request_only_and_its_files_keep_their_modes() {
        let folder = Folder::new();
        let path = |name: &str| folder.path().join(name);
        Authority::create(&path("authority"), None, clock::now_s()).unwrap();
        let issue = |name: &str, replace| {
            run_authority(&AuthorityCommand::Server {
                folder: FolderArgs { config: None, authority: Some(path("authority")) },
                names: vec![name.to_owned()],
                certificate: path("hub.pem"),
                key: path("hub.key"),
                replace,
            })
            .map_err(|error| error.to_string())
        };
        for name in ["a b", "", "-", "hub.lan:8883", "1.2.3.4.5"] {
            assert!(issue(name, false).unwrap_err().contains("neither a host name nor an IP address"), "{name}");
        }
        issue("hub.lan", false).unwrap();
        let read = |name: &str| fs::read(path(name)).unwrap();
        let first = (read("hub.pem"), read("hub.key"));
        assert!(issue("hub.lan", false).unwrap_err().contains("--replace"));
        assert_eq!((read("hub.pem"), read("hub.key")), first);
        fs::set_permissions(path("hub.key"), fs::Permissions::from_mode(0o640)).unwrap();
        issue("fd00::1", true).unwrap();
        assert!(read("hub.pem") != first.0 && read("hub.key") != first.1);
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode("hub.key"), mode("hub.pem")], [0o640, 0o600]);
    }
}
