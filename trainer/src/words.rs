//! Numbers, times and spans as people write them, on the command line and on pages.

use crate::card::day;
use lapwing_shared::units::Utc;

/// A span in the largest unit that gives a whole number.
pub(crate) fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Seconds since the epoch as day and time, UTC.
pub(crate) fn when(seconds: u64) -> String {
    Utc(seconds).to_string()
}

/// Thousands apart by a thin space from five digits on.
pub(crate) fn count(number: u64) -> String {
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

/// A measured value with about three digits that count.
pub(crate) fn value(number: f64) -> String {
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

/// Days since the epoch of a date (Hinnant, "chrono-compatible low-level date algorithms"); nothing where the calendar
/// has no such day, or before the epoch.
fn days(year: i64, month: i64, of_month: i64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&of_month) {
        return None;
    }
    let year_from_march = if month > 2 { year } else { year - 1 };
    let era = year_from_march / 400;
    let of_era = year_from_march - era * 400;
    let month_from_march = (month + 9) % 12;
    let of_year = (153 * month_from_march + 2) / 5 + of_month - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let days = u64::try_from(days).ok()?;
    (day(days * 86_400) == format!("{year:04}-{month:02}-{of_month:02}")).then_some(days)
}

/// Seconds since the epoch from a number of them, or from a date as `2026-11-21`, `2026-11-21T16:44`, UTC.
pub(crate) fn parse_when(text: &str) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let text = text.trim_end_matches('Z');
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let number =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i64>().ok()).flatten();
    let date: Vec<i64> = date.split('-').map(number).collect::<Option<_>>()?;
    let [year, month, of_month] = date[..] else { return None };
    let mut time = time.split(':').map(number);
    let mut part = |limit: i64| match time.next() {
        Some(found) => found.filter(|found| *found < limit),
        None => Some(0),
    };
    let (hour, minute, second) = (part(24)?, part(60)?, part(60)?);
    let of_day = u64::try_from(hour * 3_600 + minute * 60 + second).ok()?;
    Some(days(year, month, of_month)? * 86_400 + of_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_as_they_were_written_and_no_other_day_is_one() {
        for seconds in [0, 951_782_400, 1_741_276_811, 1_795_279_458, 4_102_444_799] {
            assert_eq!(parse_when(&when(seconds)), Some(seconds), "{}", when(seconds));
        }
        assert_eq!(when(1_741_276_811), "2025-03-06 16:00:11");
        assert_eq!(parse_when("2025-03-06T16:00"), Some(1_741_276_800));
        assert_eq!(parse_when("2025-03-06"), Some(1_741_219_200));
        assert_eq!(parse_when("1741276811"), Some(1_741_276_811));
        for wrong in
            ["", "today", "2025-02-30", "2025-13-01", "2025-3", "2025-03-06T24:00", "-5", "1969-12-31", "2025-+3-06"]
        {
            assert_eq!(parse_when(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn values_have_as_many_digits_as_count() {
        let found = [0.0, 0.5, 1.0, 12.34, 339.4, 12_345.6, -4.25, 1e-5].map(value);
        assert_eq!(found, ["0", "0.5", "1", "12.3", "339", "12\u{2009}346", "-4.25", "1.0e-5"]);
        assert_eq!(value(f64::NAN), "not a number");
    }
}
