//! Help texts. They are also the list of each command's options; see `arguments`.

/// Help of a command.
pub(super) struct Page {
    /// The command; empty for the program.
    pub(super) name: &'static str,
    /// In the order in which they are printed.
    pub(super) parts: &'static [&'static str],
}

macro_rules! page {
    ($name:literal, $($part:literal),+) => {
        Page { name: $name, parts: &[$(include_str!(concat!("help/", $part, ".txt"))),+] }
    };
}

/// The program.
pub(super) static OVERVIEW: Page = page!("", "overview");

/// The commands.
pub(super) static COMMANDS: &[Page] = &[
    page!("replay", "replay", "options"),
    page!("run", "run", "options"),
    page!("status", "status", "agent"),
    page!("top", "top", "agent"),
    page!("test-alert", "test-alert", "agent"),
    page!("update", "update", "agent"),
    page!("validate", "validate"),
    #[cfg(feature = "tls")]
    page!("enroll", "enroll"),
    page!("inspect", "inspect"),
    page!("response-helper", "response-helper"),
];

/// Help of a command, by its name.
pub(super) fn find(name: &str) -> Option<&'static Page> {
    COMMANDS.iter().find(|page| page.name == name)
}

impl Page {
    /// Names of the options, without dashes.
    pub(super) fn options(&self) -> impl Iterator<Item = &'static str> + use<> {
        let lines = self.parts.iter().flat_map(|part| part.lines());
        lines.filter_map(|line| line.strip_prefix("      --")?.split(' ').next())
    }
}
