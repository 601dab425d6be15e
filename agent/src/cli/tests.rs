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
    let Ok(Command::Run { options, .. }) = parsed(&["run", "--release=-x", "--status-socket", ""]) else { panic!() };
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
fn an_error_repeats_no_control_characters_and_suggests_no_hidden_command() {
    for word in ["", "../../x", "response-helpr", "\u{1b}[31m\r\nforged"] {
        let error = parsed(&[word]).unwrap_err();
        assert!(!error.contains("response-helper "), "{error}");
        assert!(!error.contains(['\u{1b}', '\r']) && error.lines().count() == 2, "{error:?}");
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
