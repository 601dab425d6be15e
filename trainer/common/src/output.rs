//! Lines, JSON and pages → standard output and files, without a panic if the reader has closed the pipe.

use anyhow::Context;
use serde::Serialize;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

static FAILED: AtomicBool = AtomicBool::new(false);

/// Writes a line to standard output like `println!`. A closed pipe, as in `lapwing-trainer alerts | head`, is ignored;
/// any other failure makes [`failed`](crate::output::failed) return true.
#[macro_export]
macro_rules! print_line {
    ($($argument:tt)*) => { $crate::output::line(format_args!($($argument)*)) };
}

/// See [`print_line!`](crate::print_line).
pub fn line(text: Arguments<'_>) {
    write(&mut std::io::stdout(), text);
}

fn write(output: &mut impl Write, text: Arguments<'_>) {
    let Err(error) = writeln!(output, "{text}").and_then(|()| output.flush()) else { return };
    if error.kind() != ErrorKind::BrokenPipe && !FAILED.swap(true, Ordering::Relaxed) {
        eprintln!("cannot write to standard output: {error}");
    }
}

/// True if writing a line failed for any reason but a closed pipe.
pub fn failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Writes a value as JSON to a file; `-` is standard output.
///
/// # Errors
/// When it cannot be encoded or written.
pub fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    if path.as_os_str() == "-" {
        return std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output");
    }
    write_file(path, text.as_bytes())
}

/// Writes a file.
///
/// # Errors
/// When it cannot be written; the message names the file.
pub fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes `index.html` into a folder, creating the folder if it is missing.
///
/// # Errors
/// When the folder or the file cannot be written.
pub fn write_page(folder: &Path, page: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("index.html");
    write_file(&path, page.as_bytes())?;
    eprintln!("page: {}", path.display());
    Ok(())
}

/// The command line of this process with `program` as its name, quoted for a shell. Users, passwords and parameters of
/// addresses are left out: it is for reports that others read.
pub fn command_line(program: &str) -> String {
    let plain =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=,:+%@".contains(c));
    let quoted = |text: String| if plain(&text) { text } else { format!("'{}'", text.replace('\'', "'\\''")) };
    let arguments = std::env::args().skip(1).map(|text| quoted(without_secrets(text)));
    std::iter::once(program.to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// An address without what is before its last `@` and after its first `?`; other texts as they are.
fn without_secrets(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let rest = rest.split('?').next().unwrap_or_default();
    let shown = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{shown}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    struct FailingWriter(ErrorKind);

    impl Write for FailingWriter {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_ignored_and_a_full_disk_is_a_failure() {
        let mut output = Vec::new();
        write(&mut output, format_args!("{} alerts", 3));
        assert_eq!(output, b"3 alerts\n");
        write(&mut FailingWriter(ErrorKind::BrokenPipe), format_args!("the reader has closed the pipe"));
        assert!(!failed());
        write(&mut FailingWriter(ErrorKind::StorageFull), format_args!("the disk is full"));
        assert!(failed());
    }

    #[test]
    fn a_command_line_shows_no_password_of_an_address() {
        for (text, shown) in [
            ("postgres://lapwing:s3cr@et@hub:5432/fleet?password=s3cret", "postgres://hub:5432/fleet"),
            ("--broker=mqtts://user:s3cret@hub", "--broker=mqtts://hub"),
            ("--store", "--store"),
            ("/var/lib/a@b.sqlite", "/var/lib/a@b.sqlite"),
        ] {
            assert_eq!(without_secrets(text.into()), shown);
        }
    }
}
