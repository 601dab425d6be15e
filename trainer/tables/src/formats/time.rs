//! Texts → seconds since 1970, and seconds → dates. Times without a zone are UTC.

use time::{Date, Month};

/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// Julian day number of 1970-01-01.
const EPOCH: i32 = 2_440_588;

/// Parses `2017-07-03 08:55:58.25` or `2017/07/03 08:55:58.25` (separated by a blank or `T`, optionally with `Z`),
/// `03/07/2017 08:55` (day first, optionally with `AM` or `PM`), or seconds since 1970.
pub(super) fn parse(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds.abs() < 1e12).then_some(seconds);
    }
    let (date, rest) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let separator = if date.contains('/') { '/' } else { '-' };
    let [first, month, last] = three(date, separator)?;
    let day_first = separator == '/' && first <= 31;
    let (year, day) = if day_first { (last, first) } else { (first, last) };
    if !(1900..=9999).contains(&year) {
        return None;
    }
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()?;
    Some(f64::from(date.to_julian_day() - EPOCH) * DAY + clock(rest)?)
}

fn three(date: &str, separator: char) -> Option<[i32; 3]> {
    let mut parts = date.split(separator).map(|part| part.parse::<i32>().ok());
    let parsed = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(parsed)
}

/// Parses a time of day into seconds.
fn clock(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches('Z').trim_end_matches("+00:00");
    let (text, afternoon) = match text.rsplit_once(' ') {
        Some((text, half)) if half.eq_ignore_ascii_case("pm") => (text, Some(true)),
        Some((text, half)) if half.eq_ignore_ascii_case("am") => (text, Some(false)),
        Some(_) => return None,
        None => (text, None),
    };
    let mut parts = text.split(':');
    let hours: u32 = parts.next()?.parse().ok()?;
    let minutes: u32 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next().map_or(Some(0.0), |seconds| seconds.parse().ok())?;
    if hours > 23 || minutes > 59 || !(0.0..61.0).contains(&seconds) || parts.next().is_some() {
        return None;
    }
    let hours = match afternoon {
        Some(afternoon) => hours % 12 + if afternoon { 12 } else { 0 },
        None => hours,
    };
    Some(f64::from(hours * 3600 + minutes * 60) + seconds)
}

/// The date of a time; `None` for NaN and for times outside the years −1199 to 5138.
fn day(time: f64) -> Option<Date> {
    let days = (-1e11..1e11).contains(&time).then(|| (time / DAY).floor() as i32)?;
    Date::from_julian_day(EPOCH + days).ok()
}

/// The date of a time as `2017-07-03`.
pub(super) fn date(time: f64) -> Option<String> {
    let (year, month, day) = day(time)?.to_calendar_date();
    Some(format!("{year:04}-{:02}-{day:02}", u8::from(month)))
}

/// The weekday of a time, `monday` to `sunday`.
pub(super) fn weekday(time: f64) -> Option<String> {
    Some(day(time)?.weekday().to_string().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed_in_each_format_of_the_data() {
        // 2017-07-03 08:55:58 UTC, by `date -ud`.
        let expected = 1_499_072_158.0;
        for text in ["2017-07-03 08:55:58", "2017-07-03T08:55:58Z", "03/07/2017 08:55:58", "3/7/2017 8:55:58 AM"] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert_eq!(parse("1499072158"), Some(expected));
        assert_eq!(parse("2017-07-03 20:55:58.5"), parse("3/7/2017 8:55:58.5 PM"));
        assert_eq!(parse("2000-02-29"), Some(951_782_400.0));
        // CTU-13's, by `date -ud`.
        assert_eq!(parse("2011/08/10 09:46:59.5"), Some(1_312_969_619.5));
    }

    #[test]
    fn invalid_times_are_rejected() {
        for text in ["", "monday", "2017-13-03 08:00", "2017-07-03 25:00", "1/2", "nan", "inf", "2017-07-03 8:00 XM"] {
            assert_eq!(parse(text), None, "{text}");
        }
        for text in [
            "2017/13/03",
            "32/01/2017",
            "08/2017/10",
            "2017-02-29",
            "31/04/2017 08:00",
            "1899-12-31",
            "2017-00-01",
            "2017-07-00",
            "-2017-07-03",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_have_dates_and_weekdays() {
        assert_eq!(date(1_499_072_158.0).as_deref(), Some("2017-07-03"));
        assert_eq!(date(951_782_400.0).as_deref(), Some("2000-02-29"));
        assert_eq!(date(-1.0).as_deref(), Some("1969-12-31"));
        assert_eq!(date(f64::NAN), None);
        assert_eq!(weekday(1_499_072_158.0).as_deref(), Some("monday"));
        assert_eq!((weekday(-1.0).as_deref(), weekday(1e12)), (Some("wednesday"), None));
    }
}
