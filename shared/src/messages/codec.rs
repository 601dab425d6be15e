//! [`Message`] and [`Acknowledgement`] ↔ MQTT payload: [`MESSAGE_VERSION`], then postcard; [`EXTENDED_VERSION`] has rows
//! or hosts behind that.
//!
//! What can be encoded can be decoded: both directions run the same checks, so that neither side can send what the
//! other refuses. Lengths are in bytes.

use super::{
    Acknowledgement, Alert, Body, EXTENDED_VERSION, MESSAGE_BYTES, MESSAGE_VERSION, Message, Reason, Samples, Status,
    hosts, rows,
};
use crate::features::FEATURES;
use crate::release::framing::{self, FrameError};
use crate::release::name::is_name;
use core::fmt;

/// Largest encoded acknowledgement: version, two numbers, a count, 64 numbers of at most ten bytes.
pub const ACKNOWLEDGEMENT_BYTES: usize = 1 + 10 + 10 + 1 + 64 * 10;

/// Why a payload is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// The bytes are no frame of [`MESSAGE_VERSION`].
    Frame(FrameError),
    /// A sample row has the wrong number of features.
    FeatureCount {
        /// Row's place in the batch.
        row: usize,
        /// Features that it has.
        found: usize,
    },
    /// A number is infinite or not a number.
    NotFinite {
        /// Field that holds it.
        field: &'static str,
    },
    /// A field breaks the rule of its type.
    Field {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl From<FrameError> for MessageError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "message: {error}"),
            Self::FeatureCount { row, found } => {
                write!(f, "message: samples.rows[{row}] has {found} features, expected {FEATURES}")
            }
            Self::NotFinite { field } => write!(f, "message: {field} is not a finite number"),
            Self::Field { field, expected } => write!(f, "message: {field} is wrong, expected {expected}"),
        }
    }
}

impl core::error::Error for MessageError {}

impl Message {
    /// Writes the payload into `out`, for which [`MESSAGE_BYTES`] always suffice; returns the written part.
    ///
    /// # Errors
    /// [`MessageError`] when a field breaks its type's rule or `out` is too small.
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], MessageError> {
        self.check()?;
        match &self.body {
            Body::Alert(alert) if !alert.rows.is_empty() => {
                self.encode_extended(out, |behind| rows::write(&alert.rows, behind))
            }
            Body::Samples(samples) if hosts::are_told(&samples.rows) => {
                self.encode_extended(out, |behind| hosts::write(&samples.rows, behind))
            }
            _ => Ok(framing::encode(MESSAGE_VERSION, self, out)?),
        }
    }

    /// `more` writes what the older form has no place for, and says how many bytes that took.
    fn encode_extended<'a>(
        &self,
        out: &'a mut [u8],
        more: impl FnOnce(&mut [u8]) -> Result<usize, FrameError>,
    ) -> Result<&'a [u8], MessageError> {
        let written = framing::encode(EXTENDED_VERSION, self, out)?.len();
        let more = more(out.get_mut(written..).unwrap_or_default())?;
        Ok(&out[..written + more])
    }

    /// Reads a payload. Rows of another feature schema are left out of an alert: nobody here could read them.
    ///
    /// # Errors
    /// [`MessageError`]: empty, unknown version, cut off, trailing bytes, too long, or a field that breaks its rule.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.first() != Some(&EXTENDED_VERSION) {
            let message: Self = framing::decode(MESSAGE_VERSION, bytes, MESSAGE_BYTES)?;
            message.check()?;
            return Ok(message);
        }
        let (mut message, behind): (Self, &[u8]) = framing::decode_front(EXTENDED_VERSION, bytes, MESSAGE_BYTES)?;
        match &mut message.body {
            Body::Alert(alert) => alert.rows = rows::read(behind)?,
            Body::Samples(samples) => hosts::read(behind, &mut samples.rows)?,
            _ => return Err(FrameError::Version { found: EXTENDED_VERSION, expected: MESSAGE_VERSION }.into()),
        }
        message.check()?;
        Ok(message)
    }

    /// Holds the fields against the rules in their texts.
    fn check(&self) -> Result<(), MessageError> {
        match &self.body {
            Body::Alert(alert) => check_alert(alert),
            Body::Samples(samples) => check_samples(samples),
            Body::Status(status) => check_status(status),
            Body::Health(_) | Body::Update(_) => Ok(()),
        }
    }
}

impl Acknowledgement {
    /// Writes the payload into `out`, for which [`ACKNOWLEDGEMENT_BYTES`] always suffice; returns the written part.
    ///
    /// # Errors
    /// [`MessageError`] when `out` is too small.
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], MessageError> {
        Ok(framing::encode(MESSAGE_VERSION, self, out)?)
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`MessageError::Frame`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        Ok(framing::decode(MESSAGE_VERSION, bytes, ACKNOWLEDGEMENT_BYTES)?)
    }

    /// True when it names the message with this run and number.
    pub fn covers(&self, run: u64, number: u64) -> bool {
        self.run == run && (number <= self.up_to || self.also.contains(&number))
    }
}

fn check_samples(samples: &Samples) -> Result<(), MessageError> {
    for (row, sample) in samples.rows.iter().enumerate() {
        let found = sample.features.len();
        if found != FEATURES {
            return Err(MessageError::FeatureCount { row, found });
        }
        finite("samples.rows.features", &sample.features)?;
    }
    Ok(())
}

fn check_alert(alert: &Alert) -> Result<(), MessageError> {
    finite("alert.evidence_nats", &[alert.evidence_nats])?;
    finite("alert.peak_nats", &[alert.peak_nats])?;
    finite("alert.limit_nats", &[alert.limit_nats])?;
    for reason in &alert.reasons {
        check_reason(reason)?;
    }
    for row in &alert.rows {
        finite("alert.rows", row)?;
    }
    if alert.resembles.as_ref().is_some_and(|name| !is_name(name)) {
        return Err(MessageError::Field { field: "alert.resembles", expected: NAME });
    }
    Ok(())
}

const NAME: &str = "1 to 32 of a-z A-Z 0-9 - _ .";

fn check_reason(reason: &Reason) -> Result<(), MessageError> {
    if usize::from(reason.feature) >= FEATURES {
        return Err(MessageError::Field { field: "alert.reasons.feature", expected: "an index in the feature schema" });
    }
    if reason.share_permille > 1000 {
        return Err(MessageError::Field { field: "alert.reasons.share_permille", expected: "1000 at most" });
    }
    finite("alert.reasons", &[reason.value, reason.normal_low, reason.normal_high])
}

fn check_status(status: &Status) -> Result<(), MessageError> {
    if is_name(&status.group) {
        return Ok(());
    }
    Err(MessageError::Field { field: "status.group", expected: NAME })
}

fn finite(field: &'static str, values: &[f32]) -> Result<(), MessageError> {
    if values.iter().all(|value| value.is_finite()) { Ok(()) } else { Err(MessageError::NotFinite { field }) }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
