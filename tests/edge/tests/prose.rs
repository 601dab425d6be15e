//! The text of the repository → phrases that have a plainer word, with file, line and the word to use.
//!
//! A phrase is a row of words; `a|b` is either word, `#` a number, `…` up to eight words. Letter case does not matter. A
//! phrase of one word is also found as a part of an identifier: `is_told`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod tree;

use tree::root;

/// Phrases, and what to write instead.
const BANNED: &[(&str, &str)] = &[
    ("told|tell|tells|telling", "report, log, show, document; in code: a noun"),
    (
        "stand|stands|stood first|beside|in|for|at|above|below|before|behind|on|with|plainly|still|alone|ready|there",
        "is, precedes, means",
    ),
    ("nobody|somebody|anybody", "name who: no user, an operator"),
    ("so many|long|often|much|few", "N, at most N, every N, after N"),
    ("so far ahead", "the distance itself"),
    ("hold|holds|holding|held against", "compare with, check against"),
    ("come|comes|came to #|nothing", "is, amounts to"),
    ("what … come|comes to", "the result of"),
    ("go|goes|went before", "override"),
    ("befall|befalls", "happen to"),
    ("knob|knobs", "false-alert budget, setting"),
    ("mend|mends|mended|mending", "correct, fix, repair"),
    ("hear|hears|heard|hearing", "receive, get"),
    ("is|are|be none", "none, not set, disabled, unlimited"),
    (
        "is|are no teacher|exclusion|number|release|network|key|failure|page|attack|host|row|name|day|one's",
        "is not a, is not a valid",
    ),
    ("in vain", "without result; say what did not happen"),
    ("dear", "expensive"),
    ("witness|witnesses", "evidence, sample"),
    ("lend|lends|lent", "give, pass"),
    ("for ever", "forever"),
    ("lest", "so that … not"),
    ("whence|thence", "from where, from there"),
    ("reckon|reckons|reckoned", "compute, estimate"),
    ("aught|nought", "anything, nothing"),
    ("whilst", "while"),
    ("beware", "warning:"),
    ("namer|namers", "classifier"),
    ("desk|desks", "query, store handle"),
    ("shelf|shelves", "release directory, repository"),
    ("way back", "backward pass"),
    ("there and back", "forward and backward pass"),
    ("rows a step", "batch size"),
    ("all told", "in total"),
    ("give|gives up", "stop, abandon, lose"),
    ("at|in the most|least", "at most, at least"),
    ("absent :", "Default: none"),
    ("plainly", "drop it"),
    ("is|are|was|were said|spoken|let", "use the active voice"),
    ("is|are|was|were kept from", "use the active voice"),
    ("out of words", "say what is missing"),
    ("word of", "report of, documentation of"),
];

/// Files with a phrase that is right there: file, phrase as in the table, reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("tests/edge/tests/prose.rs", "*", "the table itself"),
    ("shared/src/features/schema.rs", "nobody|somebody|anybody", "a definition that the schema id hashes"),
    ("tests/qemu/debian", "nobody|somebody|anybody", "a Unix user"),
    ("agent/tests/live_run.rs", "nobody|somebody|anybody", "a Unix user"),
    ("trainer/neural/src/models/two_stage.rs", "namer|namers", "a key of saved models"),
    ("trainer/models/src/plan.rs", "namer|namers", "a key of saved models"),
    ("trainer/lab/src/evaluate/args.rs", "namer|namers", "the earlier name of --classifier"),
    ("trainer/src/commands/budget_check.rs", "knob|knobs", "a key of check.json"),
];

#[test]
fn the_repository_has_no_banned_phrase() {
    let files = tree::files(&root(), &|path, text| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let endings = [".rs", ".md", ".toml", ".html", ".sh", ".js", ".css", ".config", ".service"];
        endings.iter().any(|ending| name.ends_with(ending)) || is_shell_script(text)
    });
    assert!(files.len() > 300, "found only {} files", files.len());
    let mut problems = Vec::new();
    for (name, text) in &files {
        for hit in banned(text) {
            if !ALLOWED.iter().any(|(file, phrase, _)| file == name && hit.is(phrase)) {
                problems.push(format!("{name}:{}: `{}`; better: {}", hit.line, hit.words, hit.instead));
            }
        }
    }
    assert!(problems.is_empty(), "{} banned phrases:\n{}", problems.len(), problems.join("\n"));
}

/// True if the interpreter of the first line is a shell, with or without arguments.
fn is_shell_script(text: &str) -> bool {
    let line = text.lines().next().and_then(|line| line.strip_prefix("#!")).unwrap_or_default();
    let mut words =
        line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word)).filter(|word| *word != "env");
    words.next().is_some_and(|interpreter| interpreter.ends_with("sh"))
}

#[test]
fn every_exception_is_needed() {
    for (file, phrase, _) in ALLOWED {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let is_used = banned(&text).iter().any(|hit| hit.is(phrase));
        assert!(is_used, "{file} has no `{phrase}`: remove the exception");
    }
}

#[test]
fn phrases_are_found_in_any_case_and_in_identifiers() {
    let found = |text| banned(text).into_iter().map(|hit| format!("{}: {}", hit.line, hit.words)).collect::<Vec<_>>();
    assert_eq!(found("fine\nIt is Told here"), ["2: told"]);
    assert_eq!(found("let is_told = 1;"), ["1: told"]);
    assert_eq!(found("what the change comes to"), ["1: what the change comes to"]);
    assert_eq!(found("it came to 12 rows"), ["1: came to 12"]);
    assert_eq!(found("Absent: none"), ["1: absent :"]);
    assert!(found("if value.is_none() { retold; stand. In }").is_empty());
}

/// A banned phrase in a text.
struct Hit {
    line: usize,
    words: String,
    phrase: &'static str,
    instead: &'static str,
}

impl Hit {
    /// Whether an exception is about it.
    fn is(&self, allowed: &str) -> bool {
        allowed == "*" || allowed == self.phrase
    }
}

fn banned(text: &str) -> Vec<Hit> {
    let patterns: Vec<(Vec<&str>, &str, &str)> =
        BANNED.iter().map(|(phrase, instead)| (phrase.split(' ').collect(), *phrase, *instead)).collect();
    let mut hits = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words = words(line);
        for (pattern, phrase, instead) in &patterns {
            let found = (0..words.len()).find_map(|start| Some((start, matches(pattern, &words[start..])?)));
            if let Some((start, length)) = found {
                let words = words[start..start + length].join(" ");
                hits.push(Hit { line: index + 1, words, phrase, instead });
            }
        }
    }
    hits
}

/// Lower-case words, punctuation marks, and `_` between the words of an identifier.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_open = false;
    for c in line.chars() {
        let is_letter = c.is_alphanumeric() || c == '\'';
        match words.last_mut().filter(|_| is_open && is_letter) {
            Some(word) => word.extend(c.to_lowercase()),
            None if c != ' ' && c != '-' => words.push(c.to_lowercase().collect()),
            None => {}
        }
        is_open = is_letter;
    }
    words
}

/// Number of words at the beginning that match the pattern, if they do.
fn matches(pattern: &[&str], words: &[String]) -> Option<usize> {
    match (pattern, words) {
        ([], _) => Some(0),
        (["…", rest @ ..], _) => {
            (0..=8.min(words.len())).find_map(|skipped| Some(skipped + matches(rest, &words[skipped..])?))
        }
        ([_, ..], []) => None,
        ([alternatives, rest @ ..], [word, others @ ..]) => {
            let is_number = word.starts_with(|c: char| c.is_ascii_digit());
            let is_match = alternatives.split('|').any(|one| one == word || one == "#" && is_number);
            is_match.then(|| matches(rest, others))?.map(|length| length + 1)
        }
    }
}
