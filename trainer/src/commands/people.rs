//! People who use the web page and the API: `people`.

use super::store_args::StoreArgs;
use super::user;
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use lapwing_authority::random;
use lapwing_common::clock;
use lapwing_common::format::when;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_people::{LINK_S, PERSON_RULE, Role, Secret, parse_person};
use lapwing_store::{Person, StoreHandle};
use serde_json::json;
use std::path::PathBuf;

/// `people`.
#[derive(Debug, Subcommand)]
pub(crate) enum PeopleCommand {
    /// Add a person, and print the link that sets a password; it works once, within an hour.
    #[command(
        after_help = "Example:\n  lapwing-trainer people add ann --role administrator --config /etc/lapwing-trainer/trainer.toml"
    )]
    Add {
        /// Store, person and output.
        #[command(flatten)]
        change: ChangeArgs,
        /// Name: 1 to 40 of a-z 0-9 - _ . + @ with a letter or digit first.
        #[arg(value_parser = person)]
        name: String,
        /// Role: viewer, operator or administrator.
        #[arg(long)]
        role: Role,
    },
    /// List people with their roles, sessions and tokens.
    #[command(after_help = "Example:\n  lapwing-trainer people list --store store.sqlite")]
    List {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Write the list to this file as JSON; `-` is standard output.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Change the role of a person; this ends the person's sessions.
    #[command(after_help = "Example:\n  lapwing-trainer people role bob operator --store store.sqlite")]
    Role {
        /// Store, person and output.
        #[command(flatten)]
        change: ChangeArgs,
        /// Name.
        #[arg(value_parser = person)]
        name: String,
        /// Role: viewer, operator or administrator.
        role: Role,
    },
    /// Make a person's password void, end the sessions, and print a link that sets another password.
    #[command(after_help = "Example:\n  lapwing-trainer people reset bob --store store.sqlite")]
    Reset {
        /// Store, person and output.
        #[command(flatten)]
        change: ChangeArgs,
        /// Name.
        #[arg(value_parser = person)]
        name: String,
    },
    /// Remove a person with all sessions and tokens. Without people, a server on the loopback shows its pages to everybody.
    #[command(after_help = "Example:\n  lapwing-trainer people remove bob --store store.sqlite")]
    Remove {
        /// Store, person and output.
        #[command(flatten)]
        change: ChangeArgs,
        /// Name.
        #[arg(value_parser = person)]
        name: String,
    },
}

/// Options of a change.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Store.
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Name of who makes the change, for the audit log [default: the user's name].
    #[arg(long, value_name = "NAME")]
    pub(super) who: Option<String>,
    /// Write the result to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
}

/// A name of a person.
pub(super) fn person(text: &str) -> Result<String, String> {
    parse_person(text).ok_or_else(|| PERSON_RULE.into())
}

impl ChangeArgs {
    pub(super) fn who(&self) -> String {
        self.who.clone().unwrap_or_else(user)
    }

    /// Prints a sentence, or writes JSON.
    pub(super) fn report(&self, text: &str, value: &serde_json::Value) -> anyhow::Result<()> {
        match &self.json {
            Some(path) => write_json(path, value).context("the change is made, but its result is not written"),
            None => {
                print_line!("{text}");
                Ok(())
            }
        }
    }
}

/// `people`.
pub(crate) fn run_people(command: &PeopleCommand) -> anyhow::Result<()> {
    let now_s = clock::now_s();
    match command {
        PeopleCommand::List { store, json } => list(&StoreHandle::open(store.url()?)?, json.as_ref(), now_s),
        PeopleCommand::Add { change, name, role } => {
            let (secret, handle) = (Secret::new(random()?), StoreHandle::open(change.store.url()?)?);
            let is_allowed = *role == Role::Administrator || handle.has_people()?;
            ensure!(is_allowed, "{name} is the first person: expected --role administrator, who adds the others");
            handle.add_person(name, *role, &secret.sha256(), &change.who(), now_s)?;
            report_link(change, name, &format!("added {name} as {role}"), &secret, now_s)
        }
        PeopleCommand::Reset { change, name } => {
            let by_proxy = change.store.configuration()?.http.user_header.is_some();
            ensure!(
                !by_proxy,
                "{name}: a proxy signs people in (http.user-header), so there are no passwords to reset"
            );
            let secret = Secret::new(random()?);
            StoreHandle::open(change.store.url()?)?.reset_person(name, &secret.sha256(), &change.who(), now_s)?;
            report_link(change, name, &format!("the password of {name} is void"), &secret, now_s)
        }
        PeopleCommand::Role { change, name, role } => {
            StoreHandle::open(change.store.url()?)?.set_role(name, *role, &change.who(), now_s)?;
            change.report(&format!("{name} has the role {role}"), &json!({ "name": name, "role": role }))
        }
        PeopleCommand::Remove { change, name } => {
            StoreHandle::open(change.store.url()?)?.remove_person(name, &change.who(), now_s)?;
            change.report(&format!("removed {name}"), &json!({ "name": name, "removed": true }))
        }
    }
}

fn report_link(change: &ChangeArgs, name: &str, done: &str, secret: &Secret, now_s: u64) -> anyhow::Result<()> {
    let http = change.store.configuration()?.http;
    if http.user_header.is_some() {
        let text = format!("{done}; the proxy in http.trusted-proxies signs {name} in");
        return change.report(&text, &json!({ "name": name, "link": null, "until-s": null }));
    }
    let (url, until_s) = (format!("{}/link/{}", http.base_url(http.listen), secret.text()), now_s + LINK_S);
    let text = format!("{done}; to set a password, open once, until {} UTC: {url}", when(until_s));
    change.report(&text, &json!({ "name": name, "link": url, "until-s": until_s }))
}

fn list(handle: &StoreHandle, json: Option<&PathBuf>, now_s: u64) -> anyhow::Result<()> {
    let people = handle.people(now_s)?;
    if let Some(path) = json {
        return write_json(path, &people);
    }
    if people.is_empty() {
        print_line!("no people; add the first person with `lapwing-trainer people add NAME --role administrator`");
    }
    for Person { name, role, has_password, sessions, tokens, .. } in &people {
        let password = if *has_password { "password set" } else { "no password" };
        print_line!("{name:<40} {role:<13} {password:<12} {sessions:>3} sessions {tokens:>3} tokens");
    }
    Ok(())
}
