//! A capture file, a pipe or standard input, plain or in gzip → frames.

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

/// A frame that lies in the window.
pub(super) struct Located {
    pub(super) place: usize,
    pub(super) octets: u32,
    pub(super) link: LinkType,
    pub(super) timestamp: Timestamp,
    pub(super) wire_octets: u32,
    pub(super) interface: u16,
}

/// What the next record is.
pub(super) enum Next {
    Frame(Located),
    /// A packet of an interface whose link type is unknown.
    Unreadable,
    /// The stream ends between two records.
    End,
    /// The stream ends inside the record that begins at this byte.
    Truncated(u64),
}

impl Next {
    /// The stream has too few bytes for a record's header: none, or some.
    #[cold]
    pub(super) fn end(window: &Window) -> Self {
        if window.unread().is_empty() && !window.cut() { Self::End } else { Self::Truncated(window.offset()) }
    }
}

enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
}

/// Frames of one capture file: pcap of either byte order in micro- or nanoseconds, or pcapng, each also in gzip.
/// Takes [`super::WINDOW_BYTES`] of memory, and up to [`super::WINDOW_LIMIT_BYTES`] where a record needs it.
pub struct FileSource {
    name: String,
    window: Window,
    format: Format,
    refusals: RefusalCounts,
    truncation: Option<Truncation>,
    ended: bool,
}

impl FileSource {
    /// Opens a file or named pipe, or standard input for `-`, and reads its header.
    ///
    /// # Errors
    /// It cannot be opened or read, is no capture, or has an unknown link type.
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

    /// Reads the header of a stream of bytes; `name` stands for it in errors.
    ///
    /// # Errors
    /// It cannot be read, is no capture, or has an unknown link type.
    pub fn from_reader(name: &str, source: Box<dyn Read + Send>) -> Result<Self, CaptureError> {
        let fault = |file: &str, problem| CaptureError { file: file.into(), offset: None, problem };
        let (source, packed) = unpacked(source).map_err(|error| fault(name, Problem::Read(error)))?;
        let name = if packed { format!("{name} (unpacked)") } else { name.into() };
        let mut window = Window::new(source);
        let format = recognise(&mut window).map_err(|problem| fault(&name, problem))?;
        Ok(Self { name, window, format, refusals: RefusalCounts::default(), truncation: None, ended: false })
    }

    #[cold]
    fn fail(&mut self, offset: u64, problem: Problem) -> CaptureError {
        self.ended = true;
        CaptureError { file: self.name.clone(), offset: Some(offset), problem }
    }

    /// Bytes of the stream, unpacked, that were read so far.
    pub fn offset(&self) -> u64 {
        self.window.offset()
    }
}

impl PacketSource for FileSource {
    #[inline(never)]
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        // Nearly every record of a pcap file; what does not lie in the window whole is found again by the general way.
        if let Format::Classic(classic) = &self.format
            && !self.ended
            && let Some(located) = classic.next_held(&mut self.window)
        {
            return Ok(Some(self.frame(&located)));
        }
        let Some(located) = self.locate()? else { return Ok(None) };
        Ok(Some(self.frame(&located)))
    }

    #[inline(never)]
    fn meter_held(&mut self, meter: &mut Meter, sink: &mut dyn RecordSink, span: Range<Timestamp>) -> bool {
        let (Format::Classic(classic), false) = (&self.format, self.ended) else { return false };
        let unread = self.window.unread();
        let mut rest = unread;
        let mut left = false;
        while let (false, Some((frame, behind))) = (left, classic.split(rest)) {
            meter.frame(frame.link, frame.timestamp, frame.data, frame.wire_octets, sink);
            rest = behind;
            left = !span.contains(&meter.flows().clock());
        }
        let metered = unread.len() - rest.len();
        self.window.consume(metered);
        left
    }

    fn refusals(&self) -> &RefusalCounts {
        &self.refusals
    }

    fn truncation(&self) -> Option<Truncation> {
        self.truncation
    }
}

impl FileSource {
    #[inline(always)]
    fn frame(&self, located: &Located) -> Frame<'_> {
        let Located { place, octets, link, timestamp, wire_octets, interface } = *located;
        Frame { link, timestamp, data: self.window.slice(place, octets as usize), wire_octets, interface }
    }

    /// The next frame of any format, read from the stream where it has to be.
    #[inline(never)]
    fn locate(&mut self) -> Result<Option<Located>, CaptureError> {
        if self.ended {
            return Ok(None);
        }
        let next = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.window),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.window, &mut self.refusals),
        };
        match next {
            Ok(Next::Frame(located)) => Ok(Some(located)),
            Ok(Next::Truncated(offset)) => {
                self.truncation = Some(Truncation { offset });
                self.ended = true;
                Ok(None)
            }
            Ok(Next::End | Next::Unreadable) => {
                self.ended = true;
                Ok(None)
            }
            Err(problem) => Err(self.fail(self.window.offset(), problem)),
        }
    }
}

/// The stream, unpacked where it begins as gzip does, and whether it was.
fn unpacked(mut source: Box<dyn Read + Send>) -> io::Result<(Box<dyn Read + Send>, bool)> {
    let mut magic = Vec::with_capacity(2);
    source.by_ref().take(2).read_to_end(&mut magic)?;
    let packed = cfg!(feature = "gzip") && magic == [0x1f, 0x8b];
    let whole = Cursor::new(magic).chain(source);
    #[cfg(feature = "gzip")]
    if packed {
        return Ok((Box::new(flate2::read::MultiGzDecoder::new(whole)), packed));
    }
    Ok((Box::new(whole), packed))
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

/// What a file that is no capture seems to be, for a person to recognise.
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
                "gzip data inside gzip data; unpack it first"
            } else {
                "gzip data; unpack it first"
            },
        ),
        (b"\x7fELF", "a program"),
        (b"<", "HTML or XML, perhaps an error page in place of a download"),
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
    format!("something else that begins with the bytes {}", digits.join(" "))
}
