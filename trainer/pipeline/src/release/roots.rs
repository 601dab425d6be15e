//! Root documents ↔ a file: the chain that agents follow, whose last document may wait for signatures.

use super::keys::ReleaseKey;
use lapwing_shared::release::root::{
    CHAIN_BYTES, CHAIN_VERSION, ChainDocuments, ROOT_BYTES, ROOT_SIGNATURES, RootDocument, RootError,
    SIGNED_ROOT_VERSION, SignedRoot,
};

/// Why root documents cannot be read, changed or signed.
#[derive(Debug, thiserror::Error)]
pub enum RootFileError {
    /// A document is invalid.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The file has no document.
    #[error("no root document")]
    Empty,
    /// The last document waits for signatures.
    #[error(
        "version {0} is not signed by enough root keys; add signatures with `lapwing-trainer keys root sign FILE --root KEY`"
    )]
    Unsigned(u64),
    /// The key is no root key, now or before.
    #[error("key {0} is not a root key of the newest document or of the one before it")]
    NotRoot(String),
    /// There is no further version.
    #[error("the root document has no higher version left")]
    NoVersion,
}

/// Root documents, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFile {
    /// Signed documents with their contents.
    documents: Vec<(RootDocument, Vec<u8>)>,
}

/// A chain as agents get it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Changes of the root keys that it has no room for. Agents whose document is older than these must be enrolled again.
    pub left_out: usize,
}

fn parse(bytes: &[u8]) -> Result<(RootDocument, Vec<u8>), RootError> {
    let document = RootDocument::decode(SignedRoot::decode(bytes)?.document)?;
    Ok((document, bytes.to_vec()))
}

impl RootFile {
    /// The first document, without signatures.
    ///
    /// # Errors
    /// When it is invalid.
    pub fn new(document: RootDocument) -> Result<Self, RootFileError> {
        let bytes = unsigned(&document)?;
        Ok(Self { documents: vec![(document, bytes)] })
    }

    /// Documents that a store has, oldest first.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn of<'a>(documents: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, RootFileError> {
        let documents = documents.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { documents })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is not a chain, or a document but the last is not signed by the root keys before it.
    pub fn read(bytes: &[u8]) -> Result<Self, RootFileError> {
        let documents = ChainDocuments::new(bytes)?.collect::<Result<Vec<_>, _>>()?;
        let file = Self::of(documents)?;
        let checked = file.documents.len().saturating_sub(1);
        (0..checked).try_for_each(|place| file.check(place))?;
        Ok(file)
    }

    /// Checks the signatures of a document.
    fn check(&self, place: usize) -> Result<(), RootFileError> {
        let (document, bytes) = self.documents.get(place).ok_or(RootFileError::Empty)?;
        let signed = SignedRoot::decode(bytes)?;
        let before = place.checked_sub(1).and_then(|before| self.documents.get(before));
        let by_earlier =
            before.is_none_or(|(before, _)| signed.is_signed_by(before) && before.version < document.version);
        if by_earlier && signed.is_signed_by(document) {
            Ok(())
        } else {
            Err(RootFileError::Unsigned(document.version))
        }
    }

    /// Checks that the newest document has enough signatures; returns it.
    ///
    /// # Errors
    /// [`RootFileError::Unsigned`], [`RootFileError::Empty`].
    pub fn signed(&self) -> Result<&RootDocument, RootFileError> {
        self.check(self.documents.len().saturating_sub(1))?;
        self.newest()
    }

    /// The newest document.
    ///
    /// # Errors
    /// [`RootFileError::Empty`].
    pub fn newest(&self) -> Result<&RootDocument, RootFileError> {
        self.documents.last().map(|(document, _)| document).ok_or(RootFileError::Empty)
    }

    /// Documents with their signed bytes, oldest first.
    pub fn documents(&self) -> impl Iterator<Item = (&RootDocument, &[u8])> {
        self.documents.iter().map(|(document, bytes)| (document, bytes.as_slice()))
    }

    /// Adds the next version, created at `now_s`, which differs from the newest one by `change` and has no signatures.
    ///
    /// # Errors
    /// When the newest one waits for signatures, or the next one is invalid.
    pub fn add<E: From<RootFileError>>(
        &mut self,
        now_s: u64,
        change: impl FnOnce(&mut RootDocument) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut next = self.signed()?.clone();
        next.version = next.version.checked_add(1).ok_or(RootFileError::NoVersion)?;
        next.created_s = now_s;
        change(&mut next)?;
        let bytes = unsigned(&next)?;
        self.documents.push((next, bytes));
        Ok(())
    }

    /// Adds a signature to the newest document; it replaces one of the same key.
    ///
    /// # Errors
    /// [`RootFileError::NotRoot`].
    pub fn sign(&mut self, key: &ReleaseKey) -> Result<(), RootFileError> {
        let last = self.documents.len().saturating_sub(1);
        let relevant = self.documents.get(last.saturating_sub(1)..).unwrap_or_default();
        let (_, bytes) = relevant.last().ok_or(RootFileError::Empty)?;
        let signed = SignedRoot::decode(bytes)?;
        let (public, signature) = key.sign_root(signed.document);
        let roots = relevant.iter().flat_map(|(document, _)| &document.roots);
        if roots.into_iter().all(|root| root.public != public) {
            return Err(RootFileError::NotRoot(key.name().to_owned()));
        }
        let mut signatures: Vec<_> = signed.signatures().filter(|(other, _)| **other != public).collect();
        signatures.truncate(ROOT_SIGNATURES - 1);
        signatures.push((&public, &signature));
        let bytes = with_signatures(signed.document, &signatures);
        if let Some(newest) = self.documents.last_mut() {
            newest.1 = bytes;
        }
        Ok(())
    }

    /// The newest document, and every earlier one that changed the root keys: what agents need to follow. The first one is
    /// left out, because no agent has an earlier one, unless it is the newest.
    pub fn chain(&self) -> Chain {
        self.chain_with(|_| false)
    }

    /// The bytes of a file: the chain, and the document before the newest one, whose root keys sign the newest one.
    pub fn bytes(&self) -> Vec<u8> {
        self.chain_with(|place| place + 2 == self.documents.len()).bytes
    }

    fn chain_with(&self, is_wanted: impl Fn(usize) -> bool) -> Chain {
        let root_keys = |(document, _): &(RootDocument, Vec<u8>)| (document.roots.clone(), document.threshold);
        let mut needed: Vec<&[u8]> = Vec::new();
        let mut before = None;
        for (place, entry) in self.documents.iter().enumerate() {
            let has_changed = before.is_some_and(|before| before != root_keys(entry));
            if has_changed || is_wanted(place) || place + 1 == self.documents.len() {
                needed.push(&entry.1);
            }
            before = Some(root_keys(entry));
        }
        let mut bytes = 1;
        let fits = |document: &&&[u8]| {
            bytes += 2 + document.len();
            bytes <= CHAIN_BYTES
        };
        let kept = needed.iter().rev().take_while(fits).count();
        let left_out = needed.len() - kept;
        Chain { bytes: chain_of(needed.get(left_out..).unwrap_or_default()), left_out }
    }
}

fn unsigned(document: &RootDocument) -> Result<Vec<u8>, RootFileError> {
    let mut room = [0; ROOT_BYTES];
    Ok(with_signatures(document.encode(&mut room)?, &[]))
}

fn with_signatures(document: &[u8], signatures: &[(&[u8; 32], &[u8; 64])]) -> Vec<u8> {
    let mut bytes = vec![SIGNED_ROOT_VERSION, u8::try_from(signatures.len()).unwrap_or(u8::MAX)];
    for (public, signature) in signatures {
        bytes.extend_from_slice(*public);
        bytes.extend_from_slice(*signature);
    }
    bytes.extend_from_slice(document);
    bytes
}

fn chain_of(documents: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![CHAIN_VERSION];
    for document in documents {
        bytes.extend(u16::try_from(document.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(document);
    }
    bytes
}

#[cfg(test)]
#[path = "roots_tests.rs"]
mod tests;
