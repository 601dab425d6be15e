//! A feature's value and normal range → a sentence for people who do not know the schema.
//!
//! "Source" and "target" are a flow's initiator and responder. Numbers are rounded for reading, but a value outside the
//! normal range never rounds into it. After one rounding all arithmetic is in integers, so a sentence is the same on
//! every machine.

use crate::features::FEATURES;
use crate::features::schema::SCHEMA;
use core::fmt::{self, Write};

/// Index of the first host-context feature.
const CONTEXT: usize = 35;
/// Extra decimals that a value may get, so that rounding does not move it across a bound.
const EXTRA_DECIMALS: u32 = 3;

/// A feature's value and its normal range.
///
/// Displays as a sentence: `the target sent 12 packets; here normally 0 to 4`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// Index in the schema.
    pub feature: u8,
    /// Observed value.
    pub value: f32,
    /// 1 % quantile of benign rows.
    pub normal_low: f32,
    /// 99 % quantile of benign rows.
    pub normal_high: f32,
}

/// Displays the observed value only.
#[derive(Clone, Copy, Debug)]
pub struct Seen(Finding);

/// Displays the normal range; for a flag `common` or `rare`.
#[derive(Clone, Copy, Debug)]
pub struct Normal(Finding);

/// How a feature's values are displayed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// A number of things.
    Count,
    /// Things per second.
    Rate,
    /// Milliseconds.
    Time,
    /// Octets.
    Octets,
    /// Fraction 0 to 1, displayed in per cent.
    Share,
    /// Port number: neither rounded nor grouped.
    Port,
    /// Yes or no.
    Flag,
}

impl Finding {
    /// Displays the observed value.
    pub const fn seen(&self) -> Seen {
        Seen(*self)
    }

    /// Displays the normal range.
    pub const fn normal(&self) -> Normal {
        Normal(*self)
    }

    /// True if the value is within its normal range; then it is anomalous only in combination with other features.
    pub fn is_usual(&self) -> bool {
        self.value >= self.normal_low && self.value <= self.normal_high
    }

    fn measure(&self) -> Measure {
        match SCHEMA.get(usize::from(self.feature)).map_or("", |feature| feature.unit) {
            "ms" => Measure::Time,
            "octets" => Measure::Octets,
            "" => Measure::Share,
            "port" => Measure::Port,
            "0 or 1" => Measure::Flag,
            "packets/s" => Measure::Rate,
            _ => Measure::Count,
        }
    }

    /// Smallest number of extra decimals that keeps the value on its side of both bounds.
    fn decimals(&self) -> u32 {
        let measure = self.measure();
        let shown = |number: f32, extra: u32| measure.amount(number, extra).rounded();
        let keeps_side = |extra: &u32| {
            let value = shown(self.value, *extra);
            (self.value >= self.normal_low || value < shown(self.normal_low, *extra))
                && (self.value <= self.normal_high || value > shown(self.normal_high, *extra))
        };
        (0..EXTRA_DECIMALS).find(keeps_side).unwrap_or(EXTRA_DECIMALS)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seen, normal, measure) = (self.seen(), self.normal(), self.measure());
        match measure {
            Measure::Flag => write!(f, "{seen}; {normal} here"),
            // A port number between two normal ones is not itself normal.
            Measure::Port => write!(f, "{seen}; here normally {normal}"),
            _ if self.is_usual() => write!(f, "{seen}; within the normal range here, {normal}"),
            _ => write!(f, "{seen}; here normally {normal}"),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (finding, feature) = (&self.0, usize::from(self.0.feature));
        let template = SENTENCES.get(feature).copied().unwrap_or("an unknown feature was #");
        let (template, at_zero) = template.split_once('|').unwrap_or((template, ""));
        let is_zero = if finding.measure() == Measure::Flag { finding.value < 0.5 } else { finding.value == 0.0 };
        if is_zero && !at_zero.is_empty() {
            return f.write_str(at_zero);
        }
        let amount = finding.measure().amount(finding.value, finding.decimals());
        for character in template.chars() {
            match character {
                '#' => write!(f, "{amount}")?,
                '~' if amount.is_one() => {}
                '~' => f.write_char('s')?,
                other => f.write_char(other)?,
            }
        }
        // Hosts outside the network are not counted, so their features are 0 too.
        f.write_str(if is_zero && feature >= CONTEXT { ", or it is not a host of this network" } else { "" })
    }
}

impl fmt::Display for Normal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (finding, measure) = (&self.0, self.0.measure());
        if measure == Measure::Flag {
            return f.write_str(if finding.is_usual() { "common" } else { "rare" });
        }
        let extra = finding.decimals();
        let (low, high) = (measure.amount(finding.normal_low, extra), measure.amount(finding.normal_high, extra));
        if (low.digits, low.unit) == (high.digits, high.unit) {
            return write!(f, "{high}");
        }
        // A common unit is written once, and 0 needs no unit.
        match low.digits == 0 || low.unit == high.unit {
            true => write!(f, "{} to {high}", Amount { unit: "", ..low }),
            false => write!(f, "{low} to {high}"),
        }
    }
}

/// A rounded number with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Amount {
    /// The number times 10 to the power of `decimals`.
    digits: u64,
    decimals: u32,
    negative: bool,
    /// Written after a space; empty for none.
    unit: &'static str,
    /// Size of one unit in plain units.
    scale: f64,
    /// Thousands separators.
    grouped: bool,
}

impl Measure {
    /// A plain value, rounded with `extra` decimals more than usual.
    fn amount(self, value: f32, extra: u32) -> Amount {
        let size = f64::from(value).abs();
        let (unit, scale) = self.unit(size);
        let scaled = size / scale;
        let usual = match self {
            Self::Port | Self::Flag => 0,
            Self::Count if unit.is_empty() => 0,
            Self::Octets if unit == "B" => 0,
            Self::Share if scaled >= 0.95 => 0,
            // A value above 0 must not read as 0.
            _ if scaled > 0.0 && scaled < 0.095 => 2,
            _ => u32::from(scaled < 9.95 && scaled != 0.0),
        };
        let decimals = usual + extra;
        // Saturates, and NaN becomes 0: bounded for any value that an agent sends.
        let digits = libm::round(scaled * f64::from(10_u32.pow(decimals))) as u64;
        Amount { digits, decimals, negative: value < 0.0, unit, scale, grouped: self != Self::Port }
    }

    fn unit(self, size: f64) -> (&'static str, f64) {
        let steps: &[(f64, &str, f64)] = match self {
            Self::Time => &[(1e3, "ms", 1.0), (120e3, "s", 1e3), (7_200e3, "min", 60e3), (f64::MAX, "h", 3_600e3)],
            Self::Octets => {
                &[(1e3, "B", 1.0), (1e6, "kB", 1e3), (1e9, "MB", 1e6), (1e12, "GB", 1e9), (f64::MAX, "TB", 1e12)]
            }
            Self::Count | Self::Rate => &[(1e6, "", 1.0), (1e9, "million", 1e6), (f64::MAX, "billion", 1e9)],
            Self::Share => &[(f64::MAX, "%", 0.01)],
            Self::Port | Self::Flag => &[(f64::MAX, "", 1.0)],
        };
        // 999.6 would read as 1,000 of the smaller unit.
        steps.iter().find(|step| size < step.0 * 0.999_5).map_or(("", 1.0), |step| (step.1, step.2))
    }
}

impl Amount {
    /// The rounded value, in plain units.
    fn rounded(&self) -> f64 {
        let size = self.digits as f64 / f64::from(10_u32.pow(self.decimals)) * self.scale;
        if self.negative { -size } else { size }
    }

    fn is_one(&self) -> bool {
        self.unit.is_empty() && self.digits == 10_u64.pow(self.decimals)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative && self.digits > 0 {
            f.write_char('-')?;
        }
        let one = 10_u64.pow(self.decimals);
        let (whole, mut rest, mut places) = (self.digits / one, self.digits % one, self.decimals as usize);
        if self.grouped {
            write!(f, "{}", Grouped(whole))?
        } else {
            write!(f, "{whole}")?
        }
        while places > 0 && rest.is_multiple_of(10) {
            (rest, places) = (rest / 10, places - 1);
        }
        if places > 0 {
            write!(f, ".{rest:0places$}")?;
        }
        if self.unit.is_empty() { Ok(()) } else { write!(f, " {}", self.unit) }
    }
}

/// A whole number with a comma before every third digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1_000, self.0 % 1_000) {
            (0, rest) => write!(f, "{rest}"),
            (more, rest) => write!(f, "{},{rest:03}", Self(more)),
        }
    }
}

/// Sentence templates in schema order. `#` is the value, `~` a plural s unless the value is 1. The text after `|`
/// replaces the sentence when the value is 0 (for a flag: false).
#[rustfmt::skip]
const SENTENCES: [&str; FEATURES] = [
    "the flow, or this part of it, lasted #|the flow had one packet, or several at once",
    "the source sent # packet~",
    "the target sent # packet~",
    "the source sent #",
    "the target sent #",
    "the source sent # of payload|the source sent no payload",
    "the target sent # of payload|the target sent no payload",
    "the source's packets averaged #|the source sent no packet",
    "the source's packet sizes varied by #|the source's packets all had the same size",
    "the source's largest packet was #|the source sent no packet",
    "the target's packets averaged #|the target sent no packet",
    "the target's packet sizes varied by #|the target's packets all had the same size, or it sent none",
    "the target's largest packet was #|the target sent no packet",
    "the source paused # between packets on average|the source sent fewer than two packets, or all at once",
    "the source's pauses varied by #|the source's pauses were all equal, or it paused less than twice",
    "the target paused # between packets on average|the target sent fewer than two packets, or all at once",
    "the target's pauses varied by #|the target's pauses were all equal, or it paused less than twice",
    "the longest pause of either side was #|neither side paused between packets",
    "the flow had # packet~ per second|the flow had a single packet",
    "the target sent # of the bytes",
    "# of the packets carried payload",
    "# packet~ had the SYN flag (opens a connection)",
    "# packet~ had the FIN flag (closes a connection)",
    "# packet~ had the RST flag (aborts a connection)",
    "# of the packets had the PSH flag (asks for immediate delivery)",
    "the source's first TCP window was #|the source's first TCP window was 0 B, or the flow was not TCP",
    "the target accepted the connection after #|no TCP handshake was seen",
    "the target answered|the target did not answer",
    "the flow had started earlier|the flow was new",
    "the flow was TCP|the flow was not TCP",
    "the flow was UDP|the flow was not UDP",
    "the flow was ICMP|the flow was not ICMP",
    "the target's port was #|the target's port was 0, or the flow had no ports",
    "the target was a multicast or broadcast address|the target was not a multicast or broadcast address",
    "the target was in this network|the target was not in this network",
    "the source opened about # flow~ within 3 s",
    "the source opened about # flow~ within 30 s",
    "the source opened about # flow~ within 5 min",
    "# of the flows that the source opened within about 30 s got no answer",
    "the source opened flows to about # different host~ within 30 to 60 s",
    "the source opened flows to about # different host~ within 5 to 10 min",
    "the source opened flows to about # different port~ within 30 to 60 s",
    "the source sent about # within 5 min in all its flows",
    "the source received about # within 5 min in all its flows",
    "the target received about # flow~ within 3 s",
    "the target received about # flow~ within 30 s",
    "# of the flows to the target within about 30 s got no answer",
    "flows went to about # different port~ of the target within 30 to 60 s",
];

#[cfg(test)]
#[path = "explanation_tests.rs"]
mod tests;
