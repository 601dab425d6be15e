//! Arbitrary bytes as a message or acknowledgement → a value that round-trips, or an error; as a sealed payload → an error.
#![no_main]

use lapwing_shared::messages::sealed::SealKey;
use lapwing_shared::messages::{Acknowledgement, MESSAGE_BYTES, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut room = vec![0; MESSAGE_BYTES];
    if let Ok(message) = Message::decode(input) {
        let again = Message::decode(message.encode(&mut room).expect("a decoded message encodes"));
        assert_eq!(again.as_ref(), Ok(&message));
    }
    if let Ok(acknowledgement) = Acknowledgement::decode(input) {
        let bytes = acknowledgement.encode(&mut room).expect("a decoded acknowledgement encodes");
        assert_eq!(Acknowledgement::decode(bytes).as_ref(), Ok(&acknowledgement));
    }
    let key = SealKey::from_bytes([7; 32]);
    assert!(key.open("topic", input).is_err(), "an input with a valid seal");
    let sealed = [&key.seal("topic", input)[..], input].concat();
    assert_eq!(key.open("topic", &sealed), Ok(input));
});
