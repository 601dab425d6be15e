//! Numbers and text → points in time, spans of time and addresses: the units of all other modules.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// Nanoseconds in one second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted. Reaches the year 2554.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The end of the range.
    pub const MAX: Self = Self(u64::MAX);

    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since the epoch; saturates in 2554.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SECOND))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / NANOS_PER_SECOND
    }

    /// Time from `earlier` to `self`; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self` moved forward; saturates at the end of the range.
    pub const fn plus(self, span: Nanos) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// Seconds with nine decimals.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / NANOS_PER_SECOND, self.0 % NANOS_PER_SECOND)
    }
}

/// Days since 1970-01-01 → year, month and day of the Gregorian calendar.
pub const fn date(days: u64) -> (u64, u64, u64) {
    // Years start in March, so that a leap day is the last day; 719,468 days since 0000-03-01, eras of 400 years.
    const ERA: u64 = 146_097;
    let days = days.saturating_add(719_468);
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

/// Whole seconds since the epoch; displays as UTC date and time: `2025-03-06 16:00:11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(pub u64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), of_day) = (date(self.0 / 86_400), self.0 % 86_400);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// A span of time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nanos(pub u64);

impl Nanos {
    /// From whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SECOND))
    }

    /// Seconds as the nearest `f64`.
    #[inline]
    pub fn as_secs_f64(self) -> f64 {
        nearest_f64(self.0) / NANOS_PER_SECOND as f64
    }
}

/// The nearest `f64`. Many processors convert only signed 64-bit numbers in one instruction, and nearly all values fit.
#[inline]
pub(crate) fn nearest_f64(number: u64) -> f64 {
    #[cold]
    #[inline(never)]
    fn large(number: u64) -> f64 {
        number as f64
    }
    i64::try_from(number).map_or_else(|_| large(number), |number| number as f64)
}

impl From<Nanos> for Duration {
    fn from(span: Nanos) -> Self {
        Self::from_nanos(span.0)
    }
}

/// Saturates after 584 years.
impl From<Duration> for Nanos {
    fn from(span: Duration) -> Self {
        Self(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A span of time in text form: a number with `ns`, `us`, `ms`, `s`, `m`, `h` or `d`; 1 ns to 285 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Nanos);

/// The text is no span of time above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanError;

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a number above 0 with a unit, e.g. 500ms, 60s, 5m, 1h")
    }
}

impl core::error::Error for SpanError {}

impl FromStr for Span {
    type Err = SpanError;

    #[inline]
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(SpanError)?;
        let (number, unit) = text.split_at(digits);
        let nanos_per_unit = match unit.trim() {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" | "min" => 60e9,
            "h" => 3600e9,
            "d" => 86_400e9,
            _ => return Err(SpanError),
        };
        let nanos = number.parse::<f64>().map_err(|_| SpanError)? * nanos_per_unit;
        if (1.0..9e18).contains(&nanos) { Ok(Self(Nanos(libm::round(nanos) as u64))) } else { Err(SpanError) }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a span of time, e.g. \"60s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(|error| E::custom(format_args!("`{text}`: {error}")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// An IPv6 address, or an IPv4 one in its mapped form `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address(pub [u8; 16]);

impl Address {
    /// The mapped form of an IPv4 address.
    pub const fn from_v4(octets: [u8; 4]) -> Self {
        let [a, b, c, d] = octets;
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }

    /// The four octets, if this is a mapped IPv4 address.
    #[inline]
    pub fn as_v4(&self) -> Option<[u8; 4]> {
        let bits = u128::from_be_bytes(self.0);
        (bits >> 32 == 0xffff).then_some((bits as u32).to_be_bytes())
    }

    /// Multicast of either family, or the IPv4 limited broadcast address.
    #[inline]
    pub fn is_multicast(&self) -> bool {
        match self.as_v4() {
            Some(v4) => v4[0] & 0xf0 == 0xe0 || v4 == [255; 4],
            None => self.0[0] == 0xff,
        }
    }

    /// The unspecified address of either family.
    #[inline]
    pub fn is_unspecified(&self) -> bool {
        let bits = u128::from_be_bytes(self.0);
        bits == 0 || bits == 0xffff_0000_0000
    }
}

/// Dotted decimal for a mapped IPv4 address, else RFC 5952 text.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_v4() {
            Some(v4) => fmt::Display::fmt(&core::net::Ipv4Addr::from(v4), f),
            None => fmt::Display::fmt(&core::net::Ipv6Addr::from(self.0), f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn days_convert_to_gregorian_dates() {
        // From `date -u -d @SECONDS`.
        let known = [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (11_017, (2000, 3, 1)), (20_089, (2025, 1, 1))];
        let later = [(19_782, (2024, 2, 29)), (47_482, (2100, 1, 1)), (47_540, (2100, 2, 28)), (47_541, (2100, 3, 1))];
        for (days, expected) in known.into_iter().chain(later) {
            assert_eq!(date(days), expected, "{days}");
        }
        assert_eq!(Utc(1_741_276_811).to_string(), "2025-03-06 16:00:11");
        assert!(Utc(u64::MAX).to_string().ends_with(":15"), "every second has a date");
    }

    #[test]
    fn spans_need_a_unit() {
        assert_eq!("1.5s".parse::<Span>().unwrap().0, Nanos::from_millis(1500));
        assert_eq!("2m".parse::<Span>().unwrap().0, Nanos::from_secs(120));
        assert_eq!(Duration::from("7d".parse::<Span>().unwrap().0), Duration::from_secs(604_800));
        let error = "0s".parse::<Span>().unwrap_err().to_string();
        assert!(error.starts_with("expected a number above 0 with a unit"), "{error}");
        for wrong in ["60", "s", "-1s", "1 fortnight", "", "1.2.3s", "400000d", "0s"] {
            assert!(wrong.parse::<Span>().unwrap_err().to_string().contains("500ms"), "{wrong}");
        }
    }
}
