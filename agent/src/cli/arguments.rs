//! Arguments → options and words of one command, checked against its help text.
//!
//! The help text is the list of options: one that it does not name does not exist, and one without `<VALUE>` takes none.

use super::help::Page;
use lapwing_config::nearest;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Why a command line cannot be used: one line, and where its options are described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsageError {
    page: &'static str,
    text: String,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.page.is_empty() { "" } else { " " };
        write!(
            f,
            "lapwing-agent{space}{0}: {1}\nlapwing-agent{space}{0} --help lists what is possible",
            self.page, self.text
        )
    }
}

/// Part of a command line.
pub(super) enum Item {
    /// An option of the command, without its dashes.
    Option(&'static str),
    Word(OsString),
    Help,
    /// Before a command only.
    Version,
    End,
}

/// The rest of a command line.
pub(super) struct Arguments {
    parser: lexopt::Parser,
    page: &'static Page,
}

impl Arguments {
    /// Of a command line whose first argument is the program's name.
    pub(super) fn new(arguments: impl IntoIterator<Item = OsString>, page: &'static Page) -> Self {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        Self { parser: lexopt::Parser::from_iter(arguments), page }
    }

    /// From here on, options are those of another page.
    pub(super) fn command(&mut self, page: &'static Page) {
        self.page = page;
    }

    /// The next part.
    ///
    /// # Errors
    /// When the command has no such option, or a flag has a value.
    pub(super) fn next(&mut self) -> Result<Item, UsageError> {
        use lexopt::Arg::{Long, Short, Value};
        let page = self.page;
        let text = match self.parser.next() {
            Ok(None) => return Ok(Item::End),
            Ok(Some(Value(word))) => return Ok(Item::Word(word)),
            Ok(Some(Short('h') | Long("help"))) => return Ok(Item::Help),
            Ok(Some(Short('V') | Long("version"))) if page.name.is_empty() => return Ok(Item::Version),
            Ok(Some(Short(letter))) => format!("no option -{letter}"),
            Ok(Some(Long(name))) => match page.options().find(|option| *option == name) {
                Some(option) => return Ok(Item::Option(option)),
                None => unknown("option --", name, " --", page.options()),
            },
            Err(error) => error.to_string(),
        };
        Err(self.error(text))
    }

    pub(super) fn error(&self, text: impl Into<String>) -> UsageError {
        // Arguments may have characters that change a terminal.
        let plain = |character: char| if character.is_control() { '\u{fffd}' } else { character };
        UsageError { page: self.page.name, text: text.into().chars().map(plain).collect() }
    }

    /// A word that the command does not expect.
    pub(super) fn unexpected(&self, word: &OsStr) -> UsageError {
        self.error(format!("`{}` is one argument too many", word.display()))
    }

    /// An option that is given twice, although it has one value.
    fn twice(&self, option: &str) -> UsageError {
        self.error(format!("--{option} is given twice"))
    }

    fn value(&mut self, option: &str) -> Result<OsString, UsageError> {
        if let Some(value) = self.parser.optional_value() {
            return Ok(value);
        }
        let mut rest = self.parser.try_raw_args();
        let next = rest.as_mut().and_then(|rest| rest.next_if(|next| next == "-" || !is_option(next)));
        next.ok_or_else(|| self.error(format!("--{option} needs a value; one that begins with - follows a `=`")))
    }

    fn utf8(&mut self, option: &str) -> Result<String, UsageError> {
        let value = self.value(option)?;
        value.into_string().map_err(|value| self.error(format!("--{option} {}: not UTF-8", value.display())))
    }

    /// Sets a flag.
    pub(super) fn flag(&self, flag: &mut bool, option: &str) -> Result<(), UsageError> {
        if std::mem::replace(flag, true) { Err(self.twice(option)) } else { Ok(()) }
    }

    pub(super) fn path(&mut self, slot: &mut Option<PathBuf>, option: &str) -> Result<(), UsageError> {
        let value = self.value(option)?;
        if value.is_empty() {
            return Err(self.error(format!("--{option}: the path is empty")));
        }
        if slot.replace(value.into()).is_some() { Err(self.twice(option)) } else { Ok(()) }
    }

    pub(super) fn paths(&mut self, list: &mut Vec<PathBuf>, option: &str) -> Result<(), UsageError> {
        let mut path = None;
        self.path(&mut path, option)?;
        list.extend(path);
        Ok(())
    }

    pub(super) fn text(&mut self, slot: &mut Option<String>, option: &str) -> Result<(), UsageError> {
        let value = self.utf8(option)?;
        if slot.replace(value).is_some() { Err(self.twice(option)) } else { Ok(()) }
    }

    pub(super) fn texts(&mut self, list: &mut Vec<String>, option: &str) -> Result<(), UsageError> {
        list.push(self.utf8(option)?);
        Ok(())
    }

    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(
        &mut self,
        slot: &mut Option<T>,
        option: &str,
    ) -> Result<(), UsageError> {
        let text = self.utf8(option)?;
        let value = text.parse().map_err(|error: T::Err| self.error(format!("--{option} {text}: {error}")))?;
        if slot.replace(value).is_some() { Err(self.twice(option)) } else { Ok(()) }
    }

    /// A value whose type says nothing useful about texts that it rejects; `expected` does.
    pub(super) fn parsed_as<T: FromStr>(
        &mut self,
        slot: &mut Option<T>,
        option: &str,
        expected: &str,
    ) -> Result<(), UsageError> {
        let text = self.utf8(option)?;
        let value = text.parse().map_err(|_| self.error(format!("--{option} {text}: expected {expected}")))?;
        if slot.replace(value).is_some() { Err(self.twice(option)) } else { Ok(()) }
    }
}

fn is_option(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().first() == Some(&b'-')
}

/// "no option --idle-timeot; did you mean --idle-timeout?"
pub(super) fn unknown<'a>(kind: &str, name: &str, before: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!("no {kind}{name}");
    if let Some(known) = nearest(name, known) {
        text += "; did you mean";
        text += before;
        text += known;
        text += "?";
    }
    text
}
