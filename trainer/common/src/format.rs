//! Numbers, times and durations ↔ text for people, on the command line and on pages.

use lapwing_shared::units::{Utc, date};
use time::{Date, Month, Time, UtcDateTime};

/// A duration in whole seconds, minutes, hours or days, whichever unit suits its size.
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Date and time of seconds since the epoch, UTC.
pub fn when(seconds: u64) -> String {
    Utc(seconds).to_string()
}

/// A number with thin spaces between thousands, from five digits on.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}

/// A measured value with about three significant digits.
pub fn value(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        return "not a number".into();
    }
    if (1_000.0..1e15).contains(&size) {
        let sign = if number < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(size.round() as u64));
    }
    if size >= 1e15 || (size > 0.0 && size < 1e-3) {
        return format!("{number:.1e}");
    }
    let digits = if size >= 100.0 {
        0
    } else if size >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{number:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// Date of seconds since the epoch as `2026-11-21`, UTC.
pub fn day(seconds: u64) -> String {
    let (year, month, day) = date(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Parses seconds since the epoch, or a date such as `2026-11-21` or `2026-11-21T16:44` (UTC, 1970 to 9999), into seconds
/// since the epoch.
pub fn parse_when(text: &str) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let text = text.trim_end_matches('Z');
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let date: Vec<u16> = date.split('-').map(number).collect::<Option<_>>()?;
    let [year, month, day] = date[..] else { return None };
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(year.into(), month, u8::try_from(day).ok()?).ok()?;
    let mut parts = clock.split(':').map(number);
    let mut part = || parts.next().map_or(Some(0), |part| u8::try_from(part?).ok());
    let time = Time::from_hms(part()?, part()?, part()?).ok()?;
    u64::try_from(UtcDateTime::new(date, time).unix_timestamp()).ok()
}

/// Parses digits without a sign.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip_and_invalid_dates_are_rejected() {
        for seconds in [0, 951_782_400, 1_741_276_811, 1_795_279_458, 4_102_444_799] {
            assert_eq!(parse_when(&when(seconds)), Some(seconds), "{}", when(seconds));
        }
        assert_eq!(when(1_741_276_811), "2025-03-06 16:00:11");
        assert_eq!(parse_when("2025-03-06T16:00"), Some(1_741_276_800));
        assert_eq!(parse_when("2025-03-06"), Some(1_741_219_200));
        assert_eq!(parse_when("1741276811"), Some(1_741_276_811));
        for wrong in [
            "",
            "today",
            "2025-02-30",
            "2025-13-01",
            "2025-3",
            "2025-03-06T24:00",
            "2025-03-06T12:60",
            "-5",
            "1969-12-31",
            "10000-01-01",
            "2025-+3-06",
        ] {
            assert_eq!(parse_when(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn values_have_three_significant_digits() {
        let found = [0.0, 0.5, 1.0, 12.34, 339.4, 12_345.6, -4.25, 1e-5].map(value);
        assert_eq!(found, ["0", "0.5", "1", "12.3", "339", "12\u{2009}346", "-4.25", "1.0e-5"]);
        assert_eq!(value(f64::NAN), "not a number");
    }
}
