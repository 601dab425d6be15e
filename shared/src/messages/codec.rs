//! [`Message`] and [`Acknowledgement`] ↔ MQTT payload: version byte, then postcard.
//!
//! Payloads of [`EXTENDED_VERSION`] and [`PSEUDONYM_VERSION`] have rows, hosts or counters after that. Encoding and decoding
//! run the same checks, so neither side can send what the other rejects. Lengths are in bytes.

use super::{
    Acknowledgement, AddressForm, Alert, Body, EXTENDED_VERSION, MESSAGE_BYTES, MESSAGE_VERSION, Message,
    PSEUDONYM_VERSION, Reason, Samples, Status, alert_extension, counters, hosts,
};
use crate::features::FEATURES;
use crate::release::framing::{self, FrameError};
use crate::release::name::is_name;
use core::fmt;

/// Largest encoded acknowledgement: version, two numbers, a count, and 64 numbers of at most ten bytes.
pub const ACKNOWLEDGEMENT_BYTES: usize = 1 + 10 + 10 + 1 + 64 * 10;

/// Reason for rejecting a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// The framing is invalid.
    Frame(FrameError),
    /// A sample row has the wrong number of features.
    FeatureCount {
        /// Index of the row in the batch.
        row: usize,
        /// Its number of features.
        found: usize,
    },
    /// A number is infinite or NaN.
    NotFinite {
        /// The field.
        field: &'static str,
    },
    /// A field has an invalid value.
    Field {
        /// The field.
        field: &'static str,
        /// Expected value.
        expected: &'static str,
    },
}

impl From<FrameError> for MessageError {
    #[inline]
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for MessageError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "message: {error}"),
            Self::FeatureCount { row, found } => {
                write!(f, "message: samples.rows[{row}] has {found} features, expected {FEATURES}")
            }
            Self::NotFinite { field } => write!(f, "message: {field} is not a finite number"),
            Self::Field { field, expected } => write!(f, "message: invalid {field}, expected {expected}"),
        }
    }
}

impl core::error::Error for MessageError {}

impl Message {
    /// Writes the payload into `out`, for which [`MESSAGE_BYTES`] is always enough; returns the written part.
    ///
    /// # Errors
    /// [`MessageError`] if a field is invalid or `out` is too small.
    #[inline]
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], MessageError> {
        self.check()?;
        match &self.body {
            Body::Alert(alert) if !alert.rows.is_empty() || alert.addresses != AddressForm::Plain => {
                let version = if alert.addresses == AddressForm::Plain { EXTENDED_VERSION } else { PSEUDONYM_VERSION };
                self.encode_extended(version, out, |rest| alert_extension::write(alert, rest))
            }
            Body::Samples(samples) if hosts::any_set(&samples.rows) => {
                self.encode_extended(EXTENDED_VERSION, out, |rest| hosts::write(&samples.rows, rest))
            }
            Body::Health(health) if counters::any_set(health) => {
                self.encode_extended(EXTENDED_VERSION, out, |rest| counters::write(health, rest))
            }
            _ => Ok(framing::encode(MESSAGE_VERSION, self, out)?),
        }
    }

    /// Writes the message, then its extension with `extension`, which returns its length.
    #[inline]
    fn encode_extended<'a>(
        &self,
        version: u8,
        out: &'a mut [u8],
        extension: impl FnOnce(&mut [u8]) -> Result<usize, FrameError>,
    ) -> Result<&'a [u8], MessageError> {
        let written = framing::encode(version, self, out)?.len();
        let extension = extension(out.get_mut(written..).unwrap_or_default())?;
        Ok(&out[..written + extension])
    }

    /// Reads a payload. Drops an alert's rows if they have another feature schema.
    ///
    /// # Errors
    /// [`MessageError`]: empty, unknown version, truncated, trailing bytes, too long, or an invalid field.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let version = match bytes.first() {
            Some(version @ (&EXTENDED_VERSION | &PSEUDONYM_VERSION)) => *version,
            _ => {
                let message: Self = framing::decode(MESSAGE_VERSION, bytes, MESSAGE_BYTES)?;
                message.check()?;
                return Ok(message);
            }
        };
        let (mut message, extension): (Self, &[u8]) = framing::decode_prefix(version, bytes, MESSAGE_BYTES)?;
        match (&mut message.body, version) {
            (Body::Alert(alert), PSEUDONYM_VERSION) => alert_extension::read_with_form(extension, alert)?,
            (Body::Alert(alert), _) => alert.rows = alert_extension::read(extension)?,
            (Body::Samples(samples), EXTENDED_VERSION) => hosts::read(extension, &mut samples.rows)?,
            (Body::Health(health), EXTENDED_VERSION) => counters::read(extension, health)?,
            _ => return Err(FrameError::Version { found: version, expected: MESSAGE_VERSION }.into()),
        }
        message.check()?;
        Ok(message)
    }

    /// Checks the fields against their documented ranges.
    #[inline]
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
    /// Writes the payload into `out`, for which [`ACKNOWLEDGEMENT_BYTES`] is always enough; returns the written part.
    ///
    /// # Errors
    /// [`MessageError`] if `out` is too small.
    #[inline]
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], MessageError> {
        Ok(framing::encode(MESSAGE_VERSION, self, out)?)
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`MessageError::Frame`].
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        Ok(framing::decode(MESSAGE_VERSION, bytes, ACKNOWLEDGEMENT_BYTES)?)
    }

    /// True if it confirms the message with this run and number.
    #[inline]
    pub fn covers(&self, run: u64, number: u64) -> bool {
        self.run == run && (number <= self.up_to || self.also.contains(&number))
    }
}

#[inline]
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

#[inline]
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

const NAME: &str = "1 to 32 of a-z A-Z 0-9 - _ . with a letter or digit first";

#[inline]
fn check_reason(reason: &Reason) -> Result<(), MessageError> {
    if usize::from(reason.feature) >= FEATURES {
        return Err(MessageError::Field { field: "alert.reasons.feature", expected: "an index in the feature schema" });
    }
    if reason.share_permille > 1000 {
        return Err(MessageError::Field { field: "alert.reasons.share_permille", expected: "at most 1000" });
    }
    finite("alert.reasons", &[reason.value, reason.normal_low, reason.normal_high])
}

#[inline]
fn check_status(status: &Status) -> Result<(), MessageError> {
    if is_name(&status.group) {
        return Ok(());
    }
    Err(MessageError::Field { field: "status.group", expected: NAME })
}

#[inline]
fn finite(field: &'static str, values: &[f32]) -> Result<(), MessageError> {
    if values.iter().all(|value| value.is_finite()) { Ok(()) } else { Err(MessageError::NotFinite { field }) }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
