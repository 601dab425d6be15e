//! Lines on standard output, as `println!` writes them, but without a panic: where nobody reads on, as in
//! `lapwing-trainer alerts | head`, the work goes on, and whatever else it makes is made.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static FAILED: AtomicBool = AtomicBool::new(false);

/// Writes a line to standard output. A reader that has gone is no failure; anything else makes [`failed`] true.
macro_rules! tell {
    ($($argument:tt)*) => { $crate::tell::line(format_args!($($argument)*)) };
}

pub(crate) use tell;

/// See [`tell!`].
pub(crate) fn line(text: Arguments<'_>) {
    write(&mut std::io::stdout(), text);
}

fn write(output: &mut impl Write, text: Arguments<'_>) {
    let Err(error) = writeln!(output, "{text}").and_then(|()| output.flush()) else { return };
    if error.kind() != ErrorKind::BrokenPipe && !FAILED.swap(true, Ordering::Relaxed) {
        eprintln!("lapwing-trainer: standard output: {error}");
    }
}

/// True when a line could not be written although somebody was there to read it.
pub(crate) fn failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    struct Refuses(ErrorKind);

    impl Write for Refuses {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is_one() {
        let mut output = Vec::new();
        write(&mut output, format_args!("{} alerts", 3));
        assert_eq!(output, b"3 alerts\n");
        write(&mut Refuses(ErrorKind::BrokenPipe), format_args!("nobody reads this"));
        assert!(!failed());
        write(&mut Refuses(ErrorKind::StorageFull), format_args!("nor this"));
        assert!(failed());
    }
}
