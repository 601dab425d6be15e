//! The agent's command line.

mod arguments;
mod help;
mod options;
#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::update::settings::Change;
pub(crate) use arguments::UsageError;
use arguments::{Arguments, Item};
use help::{COMMANDS, OVERVIEW, Page, find};
pub use options::Options;
use std::ffi::OsString;
use std::path::PathBuf;

/// Started by agents, and in no list.
const HIDDEN: &str = "response-helper";

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Command(Box<Command>),
    /// To print this on standard output.
    Text(Vec<&'static str>),
}

/// Commands. Their descriptions are in `help`.
#[derive(Debug)]
pub(crate) enum Command {
    Replay {
        files: Vec<PathBuf>,
        options: Options,
    },
    Run {
        input: Option<PathBuf>,
        options: Options,
    },
    Status {
        agent: AgentSocket,
        json: bool,
    },
    Top {
        agent: AgentSocket,
    },
    TestAlert {
        agent: AgentSocket,
    },
    /// The request is one that [`Change::parse`] reads.
    Update {
        agent: AgentSocket,
        request: String,
    },
    Validate {
        config: PathBuf,
    },
    #[cfg(feature = "tls")]
    Enroll(EnrollArgs),
    ResponseHelper,
    Inspect {
        release: PathBuf,
        keys: Vec<PathBuf>,
    },
}

/// `enroll`.
#[cfg(feature = "tls")]
#[derive(Debug, Default)]
pub(crate) struct EnrollArgs {
    /// Token; `-` reads it from standard input.
    pub(crate) token: Option<String>,
    pub(crate) config: Option<PathBuf>,
    /// Folder for the identity.
    pub(crate) identity_dir: Option<PathBuf>,
    /// Name of this agent.
    pub(crate) name: Option<String>,
    /// Repeats the request until the trainer has accepted the agent.
    pub(crate) wait: bool,
}

/// Selects the running agent.
#[derive(Debug, Default)]
pub(crate) struct AgentSocket {
    /// The agent's configuration file, which has the socket's path.
    pub(crate) config: Option<PathBuf>,
    /// The agent's socket [default: /run/lapwing/agent.sock].
    pub(crate) socket: Option<PathBuf>,
}

impl AgentSocket {
    /// The socket's path.
    ///
    /// # Errors
    /// When the configuration file is invalid.
    pub(crate) fn socket(&self) -> Result<PathBuf, crate::config::ConfigError> {
        match (&self.socket, &self.config) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(config)) => Ok(Config::load(config)?.status.socket),
            (None, None) => Ok(Config::default().status.socket),
        }
    }
}

/// Reads a command line; the first argument is the program's name.
///
/// # Errors
/// When it is not one of those in the help texts.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut arguments = Arguments::new(arguments, &OVERVIEW);
    let word = match arguments.next()? {
        Item::Help => return Ok(text(&OVERVIEW)),
        Item::Version => return Ok(Request::Text(vec![concat!("lapwing-agent ", env!("CARGO_PKG_VERSION"), "\n")])),
        Item::Option(_) | Item::End => return Err(arguments.error("no command")),
        Item::Word(word) => word,
    };
    if word == "help" {
        return match arguments.next()? {
            Item::Word(word) if word != "help" => Ok(text(page(&arguments, &word)?)),
            _ => Ok(text(&OVERVIEW)),
        };
    }
    let page = page(&arguments, &word)?;
    arguments.command(page);
    command(&mut arguments, page)
}

fn text(page: &'static Page) -> Request {
    Request::Text(page.parts.to_vec())
}

fn page(arguments: &Arguments, word: &OsString) -> Result<&'static Page, UsageError> {
    let name = word.to_string_lossy();
    // The hidden one is started by agents only.
    let names = COMMANDS.iter().map(|page| page.name).filter(|name| *name != HIDDEN);
    find(&name).ok_or_else(|| arguments.error(arguments::unknown("command ", &name, " ", names)))
}

/// Everything that a command can have; each uses a part, and its help text names the options.
#[derive(Default)]
struct Taken {
    words: Vec<OsString>,
    options: Options,
    agent: AgentSocket,
    input: Option<PathBuf>,
    json: bool,
    #[cfg(feature = "tls")]
    enroll: EnrollArgs,
}

impl Taken {
    fn take(&mut self, arguments: &mut Arguments, option: &'static str) -> Result<(), UsageError> {
        match option {
            "socket" => arguments.path(&mut self.agent.socket, option),
            "input" => arguments.path(&mut self.input, option),
            "json" => arguments.flag(&mut self.json, option),
            #[cfg(feature = "tls")]
            "identity-dir" => arguments.path(&mut self.enroll.identity_dir, option),
            #[cfg(feature = "tls")]
            "name" => arguments.text(&mut self.enroll.name, option),
            #[cfg(feature = "tls")]
            "wait" => arguments.flag(&mut self.enroll.wait, option),
            _ => self.options.take(arguments, option),
        }
    }
}

fn command(arguments: &mut Arguments, page: &'static Page) -> Result<Request, UsageError> {
    let mut taken = Taken::default();
    loop {
        match arguments.next()? {
            Item::Option(option) => taken.take(arguments, option)?,
            Item::Word(word) => taken.words.push(word),
            Item::Help => return Ok(text(page)),
            Item::Version | Item::End => break,
        }
    }
    let Taken { words, mut options, mut agent, input, json, .. } = taken;
    let mut words = words.into_iter();
    let command = match page.name {
        "replay" => Command::Replay { files: words.by_ref().map(Into::into).collect(), options },
        "run" => Command::Run { input, options },
        "inspect" => {
            let release = words.next().ok_or_else(|| arguments.error("no release file"))?;
            Command::Inspect { release: release.into(), keys: options.keys }
        }
        "validate" => {
            let config = options.config.ok_or_else(|| arguments.error("--config is missing"))?;
            Command::Validate { config }
        }
        HIDDEN => Command::ResponseHelper,
        #[cfg(feature = "tls")]
        "enroll" => {
            let token = words.next().map(|token| token.to_string_lossy().into_owned());
            Command::Enroll(EnrollArgs { token, config: options.config, ..taken.enroll })
        }
        name => {
            agent.config = options.config.take();
            match name {
                "status" => Command::Status { agent, json },
                "top" => Command::Top { agent },
                "test-alert" => Command::TestAlert { agent },
                _ => Command::Update { agent, request: change(arguments, words.by_ref())? },
            }
        }
    };
    match (words.next(), &command) {
        (Some(word), _) => Err(arguments.unexpected(&word)),
        (None, Command::Replay { files, .. }) if files.is_empty() => Err(arguments.error("no capture file")),
        _ => Ok(Request::Command(Box::new(command))),
    }
}

/// The change that the words of `update` ask for.
fn change(arguments: &Arguments, words: impl Iterator<Item = OsString>) -> Result<String, UsageError> {
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let request = words.join(" ");
    if Change::parse(&request).is_none() {
        return Err(arguments.error(format!(
            "no change `{request}`; hold, release, status and channel early, normal, late or default are possible"
        )));
    }
    Ok(request)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The command of a command line, without the program's name.
    pub(crate) fn parsed(arguments: &[&str]) -> Result<Command, String> {
        let arguments = ["lapwing-agent"].iter().chain(arguments).map(Into::into);
        match parse(arguments) {
            Ok(Request::Command(command)) => Ok(*command),
            Ok(Request::Text(parts)) => Err(parts.concat()),
            Err(error) => Err(error.to_string()),
        }
    }
}
