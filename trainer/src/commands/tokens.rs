//! Tokens of the API: `tokens`.

use super::people::{ChangeArgs, person};
use super::store_args::StoreArgs;
use anyhow::ensure;
use clap::Subcommand;
use lapwing_authority::random;
use lapwing_common::clock;
use lapwing_common::format::when;
use lapwing_common::output::write_json;
use lapwing_common::print_line;
use lapwing_fleet::{LABEL_RULE, one_line, parse_label};
use lapwing_people::{Role, Secret};
use lapwing_store::{ApiToken, NewToken, StoreHandle};
use serde_json::json;
use std::path::PathBuf;

const DAY_S: u64 = 86_400;

/// `tokens`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Make a token of a person, and print it; it is not shown again.
    #[command(
        after_help = "Example:\n  lapwing-trainer tokens add ann prometheus --role viewer --days 365 --store store.sqlite"
    )]
    Add {
        /// Store, person and output.
        #[command(flatten)]
        change: ChangeArgs,
        /// Name of the person. A token never has more rights than its person.
        #[arg(value_parser = person)]
        person: String,
        /// What it is for, 1 to 64 characters.
        #[arg(value_parser = label)]
        label: String,
        /// Role: viewer, operator or administrator.
        #[arg(long)]
        role: Role,
        /// Days until it ends.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=730))]
        days: u64,
    },
    /// List tokens that have not ended, newest first.
    #[command(after_help = "Example:\n  lapwing-trainer tokens list --person ann --store store.sqlite")]
    List {
        /// Store.
        #[command(flatten)]
        store: StoreArgs,
        /// Only those of this person.
        #[arg(long, value_name = "NAME", value_parser = person)]
        person: Option<String>,
        /// Write the list to this file as JSON; `-` is standard output.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// End a token before its time.
    #[command(after_help = "Example:\n  lapwing-trainer tokens revoke 3 --store store.sqlite")]
    Revoke {
        /// Store, person and output.
        #[command(flatten)]
        change: ChangeArgs,
        /// Number, as listed by `tokens list`.
        id: u32,
    },
}

fn label(text: &str) -> Result<String, String> {
    parse_label(text).map(str::to_owned).ok_or_else(|| LABEL_RULE.into())
}

/// `tokens`.
pub(crate) fn run_tokens(command: &TokensCommand) -> anyhow::Result<()> {
    let now_s = clock::now_s();
    match command {
        TokensCommand::List { store, person, json } => {
            list(&StoreHandle::open(store.url()?)?.api_tokens(person.as_deref(), now_s)?, json.as_ref())
        }
        TokensCommand::Revoke { change, id } => {
            StoreHandle::open(change.store.url()?)?.end_api_token(*id, None, &change.who(), now_s)?;
            change.report(&format!("token {id} has ended"), &json!({ "id": id, "ended": true }))
        }
        TokensCommand::Add { change, person, label, role, days } => {
            let handle = StoreHandle::open(change.store.url()?)?;
            // The store refuses an unknown person.
            let has = handle.role(person)?.unwrap_or(*role);
            ensure!(*role <= has, "{person} has the role {has}, not {role}; expected --role {has} or a lower role");
            let (secret, until_s) = (Secret::new(random()?), now_s.saturating_add(days * DAY_S));
            let new = NewToken { secret: &secret.sha256(), person, label, role: *role, until_s };
            let id = handle.add_api_token(&new, &change.who(), now_s)?;
            let text = format!("token {id} of {person}, until {} UTC: {}", when(until_s), secret.token());
            change.report(&text, &json!({ "id": id, "token": secret.token(), "until-s": until_s }))
        }
    }
}

fn list(tokens: &[ApiToken], json: Option<&PathBuf>) -> anyhow::Result<()> {
    if let Some(path) = json {
        return write_json(path, &tokens);
    }
    if tokens.is_empty() {
        print_line!("no tokens");
    }
    for ApiToken { id, person, label, role, until_s, used_s, .. } in tokens {
        let used = if *used_s == 0 { "never used".into() } else { format!("used {} UTC", when(*used_s)) };
        print_line!("{id:>6}  {person:<24} {role:<13} until {} UTC  {used:<28} {}", when(*until_s), one_line(label));
    }
    Ok(())
}
