//! Values → positions and ticks on a linear or logarithmic axis.

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    /// Axis title with its unit.
    pub(crate) label: String,
    /// Value and text of each tick.
    pub(crate) ticks: Vec<(f64, String)>,
}

/// Maximum number of ticks on a linear axis.
const TICKS: usize = 7;

impl Scale {
    /// Linear over the given range.
    pub(crate) fn linear(label: impl Into<String>, low: f64, high: f64) -> Self {
        let (low, high) = widened(low, high);
        let step = step(high - low);
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last).map(|tick| (tick as f64 * step, number(tick as f64 * step, step))).collect();
        Self { low, high, log: false, label: label.into(), ticks }
    }

    /// Linear from 0, or from below a negative minimum, to a round value above the maximum.
    pub(crate) fn around(label: impl Into<String>, values: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = extent(values);
        let low = low.min(0.0);
        let step = step((high - low).max(f64::MIN_POSITIVE));
        Self::linear(label, (low / step).floor() * step, (high / step - 1e-9).ceil() * step)
    }

    /// Linear from 0 to slightly above the highest count, with integer ticks.
    pub(crate) fn counts(label: impl Into<String>, highest: u64) -> Self {
        let high = (highest.max(1) as f64) * 1.15;
        let mut scale = Self::linear(label, 0.0, high.max(2.0));
        scale.ticks.retain(|(value, _)| value.fract() == 0.0);
        for (value, text) in &mut scale.ticks {
            *text = grouped(&format!("{value:.0}"));
        }
        scale
    }

    /// Linear over the range of the values plus a margin.
    pub(crate) fn close(label: impl Into<String>, values: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = extent(values);
        let margin = ((high - low) * 0.08).max(high.abs() * 1e-4);
        Self::linear(label, low - margin, high + margin)
    }

    /// Logarithmic over the positive values; linear if no value is positive.
    pub(crate) fn log(label: impl Into<String>, values: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = extent(values.filter(|value| *value > 0.0));
        if low <= 0.0 || high <= 0.0 {
            return Self::linear(label, 0.0, 1.0);
        }
        Self::log_between(label, low, high)
    }

    /// Logarithmic over the given range, both ends above 0.
    pub(crate) fn log_between(label: impl Into<String>, low: f64, high: f64) -> Self {
        let (low, high) = if high / low < 1.5 { (low / 1.5, high * 1.5) } else { (low, high) };
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let every = usize::try_from(last - first).unwrap_or(0).div_ceil(TICKS).max(1);
        let within = |value: &f64| *value >= low * 0.999 && *value <= high * 1.001;
        let mut values: Vec<f64> = (first..=last).step_by(every).map(|power| 10f64.powi(power)).collect();
        if high / low < 300.0 {
            let parts = [1.0, 2.0, 5.0];
            values = (first..=last).flat_map(|power| parts.map(|part| part * 10f64.powi(power))).collect();
        }
        let ticks = values.into_iter().filter(within).map(|value| (value, short_number(value))).collect();
        Self { low, high, log: true, label: label.into(), ticks }
    }

    /// Position of a value: 0 at the low end, 1 at the high end, clamped slightly outside both.
    pub(crate) fn position(&self, value: f64) -> f64 {
        let position = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if position.is_finite() { position.clamp(-0.02, 1.02) } else { 0.0 }
    }

    /// Lowest and highest value of the axis.
    pub(crate) fn limits(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// From 0 to 1 without title and ticks.
    pub(crate) fn bare() -> Self {
        Self { low: 0.0, high: 1.0, log: false, label: String::new(), ticks: Vec::new() }
    }

    /// The same axis with ticks in percent.
    pub(crate) fn percent(mut self) -> Self {
        for (value, text) in &mut self.ticks {
            *text = short_number(*value * 100.0) + " %";
        }
        self
    }
}

/// Lowest and highest finite value; (0, 1) without finite values.
pub(crate) fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let ends = values.filter(|value| value.is_finite()).fold(None, |ends: Option<(f64, f64)>, value| {
        Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    });
    ends.unwrap_or((0.0, 1.0))
}

fn widened(low: f64, high: f64) -> (f64, f64) {
    let smallest = high.abs().max(low.abs()).max(1e-9) * 1e-6;
    if high - low > smallest { (low, high) } else { (low - low.abs().max(1.0) * 0.5, high + high.abs().max(1.0) * 0.5) }
}

/// Tick distance: 1, 2 or 5 times a power of ten, with at most [`TICKS`] ticks over the span.
fn step(span: f64) -> f64 {
    let rough = span / (TICKS - 1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

fn number(value: f64, step: f64) -> String {
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    if value.abs() >= 1e6 || (step < 1e-5 && value != 0.0) {
        return short_number(value);
    }
    let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    grouped(&format!("{value:.digits$}"))
}

/// A value in few characters: 0.001, 25, 2.5M, 1e-6.
pub(crate) fn short_number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e9).contains(&size) {
        return format!("{value:.0e}");
    }
    if size >= 1e6 {
        return trim_zeros(format!("{:.2}", value / 1e6)) + "M";
    }
    if size >= 100.0 {
        return grouped(&format!("{value:.0}"));
    }
    let digits = (2.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
    trim_zeros(format!("{value:.digits$}"))
}

fn trim_zeros(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// Digits grouped in thousands by a thin space, from five digits on.
pub(crate) fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let digits = whole.trim_start_matches('-');
    if digits.len() < 5 {
        return text.into();
    }
    let mut out = String::from(&whole[..whole.len() - digits.len()]);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    rest.map_or(out.clone(), |rest| format!("{out}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers_and_at_most_nine() {
        assert_eq!(texts(&Scale::linear("", 0.0, 1.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(&Scale::around("", [3.0, 61_234.0].into_iter())).last(), Some(&"80\u{2009}000"));
        assert_eq!(texts(&Scale::log_between("", 0.001, 1.0)), ["0.001", "0.01", "0.1", "1"]);
        assert_eq!(texts(&Scale::log_between("", 1.0, 30.0)), ["1", "2", "5", "10", "20"]);
        for high in [1e-12, 1e-3, 0.7, 9.99, 12_345.0, 1e15] {
            let scale = Scale::around("", [high].into_iter());
            assert!((2..=9).contains(&scale.ticks.len()), "{high}: {:?}", scale.ticks);
        }
    }

    #[test]
    fn count_axes_have_distinct_integer_ticks() {
        for high in [0, 1, 2, 3, 7, 100, 12_345] {
            let scale = Scale::counts("", high);
            let shown: std::collections::BTreeSet<_> = texts(&scale).into_iter().collect();
            assert!(shown.len() >= 2 && shown.len() == scale.ticks.len(), "{high}: {:?}", scale.ticks);
            assert!(scale.limits().1 > high as f64, "{high}");
        }
    }

    #[test]
    fn degenerate_values_give_a_usable_axis() {
        for values in [vec![], vec![5.0; 3], vec![f64::NAN, f64::INFINITY], vec![0.0]] {
            for scale in [
                Scale::around("", values.iter().copied()),
                Scale::close("", values.iter().copied()),
                Scale::log("", values.iter().copied()),
            ] {
                assert!(!scale.ticks.is_empty(), "{values:?}");
                assert!(scale.position(5.0).is_finite() && scale.position(f64::NAN).is_finite());
            }
        }
    }

    #[test]
    fn positions_go_from_zero_to_one() {
        let scale = Scale::log_between("", 0.01, 100.0);
        assert_eq!((scale.position(0.01), scale.position(1.0), scale.position(100.0)), (0.0, 0.5, 1.0));
    }
}
