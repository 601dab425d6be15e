//! Arbitrary bytes as a capture file → frames within the file and an end, or an error with its offset.
#![no_main]

use lapwing_agent::capture::{FileSource, PacketSource};
use lapwing_shared::packet::decode;
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;

fuzz_target!(|input: &[u8]| {
    let Ok(mut source) = FileSource::from_reader("fuzz", Box::new(Cursor::new(input.to_vec()))) else { return };
    let mut octets = 0;
    let error = loop {
        match source.next_frame() {
            Ok(Some(frame)) => {
                octets += frame.data.len() as u64 + 16;
                let _ = decode(frame.link, frame.timestamp, frame.data, frame.wire_octets);
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(octets <= source.offset(), "frames are longer than the file");
    assert!(error.is_none_or(|error| error.offset.is_some_and(|offset| offset <= source.offset())));
    assert!(matches!(source.next_frame(), Ok(None)), "no frame after the end");
});
