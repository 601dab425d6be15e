//! The agent's command line.

mod arguments;
mod help;
mod options;

use crate::config::Config;
use crate::update::settings::Change;
pub(crate) use arguments::UsageError;
use arguments::{Arguments, Item};
use help::{COMMANDS, OVERVIEW, Page, find};
pub use options::Options;
use std::ffi::OsString;
use std::path::PathBuf;

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Command(Command),
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
            Item::Word(word) => Ok(text(page(&arguments, &word)?)),
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
    let names = COMMANDS.iter().map(|page| page.name);
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
        "response-helper" => Command::ResponseHelper,
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
        _ => Ok(Request::Command(command)),
    }
}

/// The change that the words of `update` ask for.
fn change(arguments: &Arguments, words: impl Iterator<Item = OsString>) -> Result<String, UsageError> {
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let request = words.join(" ");
    if Change::parse(&request).is_none() {
        return Err(
            arguments.error(format!("no change `{request}`; hold, release, channel NAME and status are possible"))
        );
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
            Ok(Request::Command(command)) => Ok(command),
            Ok(Request::Text(parts)) => Err(parts.concat()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::parsed;
    use super::*;

    /// A command line with every option of a page.
    fn all_options(page: &Page) -> Vec<String> {
        let has_value = |option: &str| {
            let mut lines = page.parts.iter().flat_map(|part| part.lines());
            lines.any(|line| line.starts_with(&format!("      --{option} <")))
        };
        let value = |option: &str| match option {
            "idle-timeout" | "active-timeout" | "sample-interval" => "5s",
            "engine" => "int8",
            "delivery" => "broker",
            _ => "3",
        };
        let argument = |option| match has_value(option) {
            true => format!("--{option}={}", value(option)),
            false => format!("--{option}"),
        };
        page.options().map(argument).collect()
    }

    #[test]
    fn every_option_of_the_help_texts_is_taken_once_or_repeated() {
        const REPEATABLE: [&str; 4] = ["--key", "--mqtt", "--interface", "--local-network"];
        let mut count = 0;
        for page in COMMANDS {
            let words: &[&str] = match page.name {
                "replay" | "inspect" => &["x"],
                "update" => &["channel", "late"],
                _ => &[],
            };
            let options = all_options(page);
            let line: Vec<&str> = [page.name].into_iter().chain(options.iter().map(String::as_str)).collect();
            let line = [&line, words].concat();
            parsed(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
            for option in &options {
                let twice = [&line[..], &[option]].concat();
                let is_repeatable = REPEATABLE.contains(&option.split('=').next().unwrap());
                assert_eq!(parsed(&twice).is_ok(), is_repeatable, "{twice:?}");
                count += 1;
            }
        }
        assert!(count > 60, "{count} options");
    }

    #[test]
    fn values_follow_a_space_or_an_equals_sign() {
        for line in [["replay", "x", "--records", "-"], ["replay", "--records", "-", "x"]] {
            let Ok(Command::Replay { files, options }) = parsed(&line) else { panic!("{line:?}") };
            assert_eq!((files, options.records), (vec!["x".into()], Some("-".into())));
        }
        let Ok(Command::Run { options, .. }) = parsed(&["run", "--release=-x", "--status-socket", ""]) else {
            panic!()
        };
        assert_eq!((options.release, options.status_socket), (Some("-x".into()), Some(String::new())));
        let Ok(Command::Replay { files, .. }) = parsed(&["replay", "--", "--help"]) else { panic!() };
        assert_eq!(files, [PathBuf::from("--help")]);
    }

    #[test]
    fn a_command_line_that_cannot_be_used_says_why_and_where_help_is() {
        let cases: [(&[&str], &str); 18] = [
            (&[], "lapwing-agent: no command\nlapwing-agent --help"),
            (&["relpay"], "no command relpay; did you mean replay?"),
            (&["help", "x"], "no command x"),
            (
                &["run", "--idle-timeot", "5s"],
                "run: no option --idle-timeot; did you mean --idle-timeout?\nlapwing-agent run --help",
            ),
            (&["run", "-x"], "no option -x"),
            (&["run", "x"], "`x` is one argument too many"),
            (&["run", "--idle-timeout"], "--idle-timeout needs a value"),
            (&["run", "--release", "--realtime"], "--release needs a value; one that begins with - follows a `=`"),
            (&["run", "--release", ""], "--release: the path is empty"),
            (&["run", "--idle-timeout", "5"], "--idle-timeout 5: expected a number above 0 with a unit"),
            (&["run", "--max-flows", "many"], "--max-flows many: expected a whole number"),
            (&["run", "--engine", "gpu"], "--engine gpu: expected tract or int8"),
            (&["run", "--realtime=yes"], "yes"),
            (&["replay", "x", "--interface", "br-lan"], "replay: no option --interface"),
            (&["replay"], "no capture file"),
            (&["validate"], "--config is missing"),
            (&["inspect"], "no release file"),
            (&["update", "channel", "soon"], "no change `channel soon`"),
        ];
        for (line, expected) in cases {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(expected), "{line:?}: {error}");
        }
    }

    #[test]
    fn help_and_version_are_texts() {
        for line in [&["--help"][..], &["-h"], &["help"], &["help", "help"]] {
            let text = parsed(line).unwrap_err();
            assert!(text.contains("Usage: lapwing-agent <COMMAND>"), "{line:?}: {text}");
        }
        assert!(parsed(&["help", "run"]).unwrap_err().contains("Usage: lapwing-agent run [OPTIONS]"));
        assert!(parsed(&["run", "--mqtt", "x", "-h"]).unwrap_err().contains("Usage: lapwing-agent run"));
        assert_eq!(parsed(&["-V"]).unwrap_err(), concat!("lapwing-agent ", env!("CARGO_PKG_VERSION"), "\n"));
        for page in COMMANDS.iter().filter(|page| page.name != "response-helper") {
            assert!(OVERVIEW.parts.concat().contains(&format!("\n  {} ", page.name)), "{}", page.name);
        }
    }

    #[test]
    fn every_change_of_update_is_a_request_that_the_agent_understands() {
        let page = find("update").unwrap().parts.concat();
        let (_, changes) = page.split_once("Changes:\n").unwrap();
        let (changes, _) = changes.split_once("\n\n").unwrap();
        assert_eq!(changes.lines().count(), 7);
        for change in changes.lines().map(|line| line.trim().split("  ").next().unwrap()) {
            let line: Vec<&str> = ["update", "--socket", "s"].into_iter().chain(change.split(' ')).collect();
            let Ok(Command::Update { request, agent }) = parsed(&line) else { panic!("{change}") };
            assert_eq!((request.as_str(), agent.socket), (change, Some("s".into())));
        }
    }

    #[test]
    fn run_refuses_a_release_file_without_a_key_unless_insecure_is_given() {
        let refused = |more: &[&str]| {
            let line = [&["run", "--release", "x.lwr"], more].concat();
            let Ok(Command::Run { options, .. }) = parsed(&line) else { panic!("run expected") };
            options.refuse_unsigned().err().map(|error| error.to_string())
        };
        assert!(refused(&[]).unwrap().contains("--key"));
        assert_eq!(refused(&["--key", "a.pub"]), None);
        assert_eq!(refused(&["--insecure-unsigned-release"]), None);
    }

    #[test]
    fn the_command_line_overrides_the_file() {
        let line = ["replay", "x.pcap", "--idle-timeout", "5s", "--alerts-per-day", "3"];
        let Ok(Command::Replay { options, .. }) = parsed(&line) else { panic!("replay expected") };
        let config = options.configuration().unwrap();
        assert_eq!(config.meter.idle_timeout, "5s".parse().unwrap());
        assert_eq!(config.detector.alerts_per_day, 3.0);
    }
}
