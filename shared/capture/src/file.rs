//! Capture file, pipe or standard input, plain or gzip → frames.

use super::classic::Classic;
use super::error::{CaptureError, Problem};
use super::pcapng::Pcapng;
use super::window::Window;
use super::{Frame, PacketSource, Truncation};
use lapwing_shared::features::meter::{Meter, RecordSink};
use lapwing_shared::packet::{LinkType, RefusalCounts};
use lapwing_shared::units::Timestamp;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::path::Path;

/// A frame in the window.
pub(super) struct Located {
    pub(super) position: usize,
    pub(super) octets: u32,
    pub(super) link: LinkType,
    pub(super) timestamp: Timestamp,
    pub(super) wire_octets: u32,
    pub(super) interface: u16,
}

/// The next record.
pub(super) enum Next {
    Frame(Located),
    /// A packet from an interface with an unsupported link type.
    Unsupported,
    /// The stream ends between two records.
    End,
    /// The stream ends inside the record at this offset.
    Truncated(u64),
}

impl Next {
    /// The stream has too few bytes for a record header: at its end, or truncated.
    #[cold]
    pub(super) fn end(window: &Window) -> Self {
        if window.unread().is_empty() && !window.cut_short() { Self::End } else { Self::Truncated(window.offset()) }
    }
}

enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
}

/// Frames of one capture file: pcap of either byte order in micro- or nanoseconds, or pcapng, plain or gzip.
/// Uses [`super::WINDOW_BYTES`] of memory, and up to [`super::WINDOW_LIMIT_BYTES`] for a long record.
pub struct FileSource {
    name: String,
    window: Window,
    format: Format,
    refusals: RefusalCounts,
    truncation: Option<Truncation>,
    /// Records with a field out of range.
    repaired: u64,
    ended: bool,
}

impl FileSource {
    /// Opens a file or named pipe, or standard input for `-`, and reads its header.
    ///
    /// # Errors
    /// It cannot be opened or read, is not a capture, or has an unsupported link type.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        if path == Path::new("-") {
            return Self::from_reader("standard input", Box::new(io::stdin()));
        }
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::from_reader(&name, Box::new(file)),
            Err(error) => Err(CaptureError { file: name, offset: None, problem: Problem::Open(error) }),
        }
    }

    /// Reads the header of a byte stream; `name` identifies it in errors.
    ///
    /// # Errors
    /// It cannot be read, is not a capture, or has an unsupported link type.
    pub fn from_reader(name: &str, source: Box<dyn Read + Send>) -> Result<Self, CaptureError> {
        let fault = |file: &str, problem| CaptureError { file: file.into(), offset: None, problem };
        let (source, compressed) = decompressed(source).map_err(|error| fault(name, Problem::Read(error)))?;
        let name = if compressed { format!("{name} (unpacked)") } else { name.into() };
        let mut window = Window::new(source);
        let format = recognise(&mut window).map_err(|problem| fault(&name, problem))?;
        Ok(Self {
            name,
            window,
            format,
            refusals: RefusalCounts::default(),
            truncation: None,
            repaired: 0,
            ended: false,
        })
    }

    #[cold]
    fn fail(&mut self, offset: u64, problem: Problem) -> CaptureError {
        self.ended = true;
        CaptureError { file: self.name.clone(), offset: Some(offset), problem }
    }

    /// Decompressed bytes read so far.
    pub fn offset(&self) -> u64 {
        self.window.offset()
    }
}

impl PacketSource for FileSource {
    #[inline(never)]
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        // Fast path for nearly every record of a pcap file; incomplete ones take the general path.
        if let Format::Classic(classic) = &self.format
            && !self.ended
            && let Some(located) = classic.next_buffered(&mut self.window)
        {
            return Ok(Some(self.frame(&located)));
        }
        let Some(located) = self.locate()? else { return Ok(None) };
        Ok(Some(self.frame(&located)))
    }

    #[inline(never)]
    fn meter_buffered(&mut self, meter: &mut Meter, sink: &mut dyn RecordSink, span: Range<Timestamp>) -> bool {
        let (Format::Classic(classic), false) = (&self.format, self.ended) else { return false };
        if !classic.is_plain() {
            return false;
        }
        let unread = self.window.unread();
        let mut rest = unread;
        let mut left_span = false;
        while let (false, Some((frame, next))) = (left_span, classic.split_plain(rest)) {
            meter.frame(frame.link, frame.timestamp, frame.data, frame.wire_octets, sink);
            rest = next;
            left_span = !span.contains(&meter.flows().clock());
        }
        let metered = unread.len() - rest.len();
        self.window.consume(metered);
        left_span
    }

    fn refusals(&self) -> &RefusalCounts {
        &self.refusals
    }

    fn truncation(&self) -> Option<Truncation> {
        self.truncation
    }

    fn repaired(&self) -> u64 {
        self.repaired
    }
}

impl FileSource {
    #[inline(always)]
    fn frame(&self, located: &Located) -> Frame<'_> {
        let Located { position, octets, link, timestamp, wire_octets, interface } = *located;
        Frame { link, timestamp, data: self.window.slice(position, octets as usize), wire_octets, interface }
    }

    /// Locates the next frame of any format, reading from the stream if necessary.
    #[inline(never)]
    fn locate(&mut self) -> Result<Option<Located>, CaptureError> {
        if self.ended {
            return Ok(None);
        }
        let next = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.window, &mut self.repaired),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.window, &mut self.refusals),
        };
        match next {
            Ok(Next::Frame(located)) => Ok(Some(located)),
            Ok(Next::Truncated(offset)) => {
                self.truncation = Some(Truncation { offset });
                self.ended = true;
                Ok(None)
            }
            Ok(Next::End | Next::Unsupported) => {
                self.ended = true;
                Ok(None)
            }
            Err(problem) => Err(self.fail(self.window.offset(), problem)),
        }
    }
}

/// The stream, decompressed if it is gzip, and whether it was.
fn decompressed(mut source: Box<dyn Read + Send>) -> io::Result<(Box<dyn Read + Send>, bool)> {
    let mut magic = Vec::with_capacity(2);
    source.by_ref().take(2).read_to_end(&mut magic)?;
    let compressed = cfg!(feature = "gzip") && magic == [0x1f, 0x8b];
    let whole = Cursor::new(magic).chain(source);
    #[cfg(feature = "gzip")]
    if compressed {
        return Ok((Box::new(super::gzip::Members::new(io::BufReader::new(whole))), compressed));
    }
    Ok((Box::new(whole), compressed))
}

fn recognise(window: &mut Window) -> Result<Format, Problem> {
    window.ensure(1).map_err(Problem::Read)?;
    window.ensure(4).map_err(Problem::Read)?;
    match window.unread().first_chunk::<4>() {
        Some(magic) if Classic::recognises(*magic) => Classic::open(window).map(Format::Classic),
        Some(magic) if Pcapng::recognises(*magic) => Pcapng::open(window).map(Format::Pcapng),
        _ => Err(Problem::NotACapture(looks_like(window.unread()))),
    }
}

/// A guess at the type of a file that is not a capture, for the error message.
fn looks_like(beginning: &[u8]) -> String {
    let known: [(&[u8], &str); 9] = [
        (b"snoop\0", "a snoop file; editcap converts it"),
        (b"GMBU", "a Network Monitor file; editcap converts it"),
        (b"\x28\xb5\x2f\xfd", "zstd data; unpack it first"),
        (b"\xfd7zXZ\0", "xz data; unpack it first"),
        (b"BZh", "bzip2 data; unpack it first"),
        (b"PK\x03\x04", "a zip archive; unpack it first"),
        (
            b"\x1f\x8b",
            if cfg!(feature = "gzip") {
                "doubly compressed gzip data; unpack it first"
            } else {
                "gzip data; unpack it first"
            },
        ),
        (b"\x7fELF", "a program"),
        (b"<", "HTML or XML, perhaps an error page instead of the download"),
    ];
    if beginning.is_empty() {
        return "empty".into();
    }
    if let Some((_, name)) = known.iter().find(|(magic, _)| beginning.starts_with(magic)) {
        return (*name).into();
    }
    let beginning = &beginning[..beginning.len().min(64)];
    if beginning.iter().all(|octet| octet.is_ascii_graphic() || octet.is_ascii_whitespace()) {
        return "text".into();
    }
    let digits: Vec<_> = beginning.iter().take(8).map(|octet| format!("{octet:02x}")).collect();
    format!("an unknown format that starts with the bytes {}", digits.join(" "))
}
