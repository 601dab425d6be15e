//! Texts → seconds since 1970, and seconds → dates. Times without a zone count as UTC.

const DAY: f64 = 86_400.0;

/// `2017-07-03 08:55:58.25`, with `T` or blank and perhaps `Z`; `03/07/2017 08:55` with the day first, perhaps `PM`;
/// or seconds since 1970.
pub(super) fn parse(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds.abs() < 1e12).then_some(seconds);
    }
    let (date, rest) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let (year, month, day) = if date.contains('/') {
        let [day, month, year] = three(date, '/')?;
        (year, month, day)
    } else {
        let [year, month, day] = three(date, '-')?;
        (year, month, day)
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1900..=9999).contains(&year) {
        return None;
    }
    Some(days(year, month, day) as f64 * DAY + clock(rest)?)
}

fn three(date: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = date.split(separator).map(|part| part.parse::<i64>().ok());
    let parsed = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(parsed)
}

/// Seconds of the day.
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

/// Days since 1970-01-01 in the Gregorian calendar (H. Hinnant, `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `2017-07-03`.
pub(super) fn date(time: f64) -> Option<String> {
    if !(-1e11..1e11).contains(&time) {
        return None;
    }
    let shifted = (time / DAY).floor() as i64 + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// `monday` to `sunday`.
pub(super) fn weekday(time: f64) -> &'static str {
    const NAMES: [&str; 7] = ["thursday", "friday", "saturday", "sunday", "monday", "tuesday", "wednesday"];
    NAMES[((time / DAY).floor() as i64).rem_euclid(7) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_each_way_that_data_writes_them() {
        // 2017-07-03 08:55:58 UTC, by `date -ud`.
        let expected = 1_499_072_158.0;
        for text in ["2017-07-03 08:55:58", "2017-07-03T08:55:58Z", "03/07/2017 08:55:58", "3/7/2017 8:55:58 AM"] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert_eq!(parse("1499072158"), Some(expected));
        assert_eq!(parse("2017-07-03 20:55:58.5"), parse("3/7/2017 8:55:58.5 PM"));
        assert_eq!(parse("2000-02-29"), Some(951_782_400.0));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "monday", "2017-13-03 08:00", "2017-07-03 25:00", "1/2", "nan", "inf", "2017-07-03 8:00 XM"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn dates_and_weekdays_follow() {
        assert_eq!(date(1_499_072_158.0).as_deref(), Some("2017-07-03"));
        assert_eq!(date(951_782_400.0).as_deref(), Some("2000-02-29"));
        assert_eq!(date(-1.0).as_deref(), Some("1969-12-31"));
        assert_eq!(date(f64::NAN), None);
        assert_eq!(weekday(1_499_072_158.0), "monday");
    }
}
