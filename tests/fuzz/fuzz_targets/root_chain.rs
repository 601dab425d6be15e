//! Arbitrary bytes as what a broker sends for the root documents → an error, nothing newer, or a document that the root keys
//! of the agent's document signed.
//!
//! Byte 0 chooses how the rest is used: as a chain; as changes to a genuine chain; as a document signed by the root key; as
//! one signed by another key.
#![no_main]

use ed25519_dalek::Signer;
use lapwing_shared::release::root::{
    ROOT_BYTES, RootDocument, SIGNED_ROOT_VERSION, SignedRoot, follow, root_signing_bytes,
};
use lapwing_shared::release::testing::{chain, grant, root, root_key, signed_root, signing_key};
use libfuzzer_sys::fuzz_target;

/// The genuine documents: key `k1` is withdrawn, then the root key of seed 9 is replaced by that of seed 8.
fn genuine() -> [(RootDocument, Vec<u8>); 2] {
    let mut withdrawn = root(2);
    withdrawn.keys[0] = grant("k2", 2);
    let mut rotated = RootDocument { version: 3, ..withdrawn.clone() };
    rotated.roots[0] = root_key(8);
    let bytes = [signed_root(&withdrawn, &[9]), signed_root(&rotated, &[9, 8])];
    let [first, second] = bytes;
    [(withdrawn, first), (rotated, second)]
}

/// The bytes as an encoded document with a signature of this seed.
fn sign(document: &[u8], seed: u8) -> Vec<u8> {
    let key = signing_key(seed);
    let mut bytes = vec![SIGNED_ROOT_VERSION, 1];
    bytes.extend(key.verifying_key().to_bytes());
    bytes.extend(key.sign(&root_signing_bytes(document)).to_bytes());
    bytes.extend(document);
    bytes
}

fn followed(bytes: &[u8]) -> Option<RootDocument> {
    let (document, signed) = follow(&root(1), bytes).ok()??;
    let mut room = [0; ROOT_BYTES];
    let encoded = document.encode(&mut room).expect("an accepted document encodes");
    assert_eq!(RootDocument::decode(encoded).as_ref(), Ok(&document));
    assert!(SignedRoot::decode(signed).expect("an accepted document has signatures").is_signed_by(&document));
    assert!(document.version > 1, "an agent goes back to no lower version");
    Some(document)
}

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else { return };
    let genuine = genuine();
    match mode % 4 {
        0 => assert!(followed(rest).is_none_or(|found| genuine.iter().any(|(document, _)| *document == found))),
        1 => {
            let mut bytes = chain(&genuine.each_ref().map(|(_, bytes)| bytes.clone()));
            for change in rest.chunks_exact(3) {
                let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
                bytes[place] = change[2];
            }
            assert!(followed(&bytes).is_none_or(|found| genuine.iter().any(|(document, _)| *document == found)));
        }
        2 if rest.len() <= ROOT_BYTES => drop(followed(&chain(&[sign(rest, 9)]))),
        _ => assert_eq!(
            followed(&chain(&[sign(&rest[..rest.len().min(ROOT_BYTES)], 7)])),
            None,
            "another key was accepted"
        ),
    }
});
