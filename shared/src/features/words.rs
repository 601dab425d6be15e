//! A feature's value and what is normal for it → a sentence for somebody who has not read the schema.
//!
//! "Source" and "target" are a flow's initiator and responder. Numbers are rounded to what a person reads, but never so
//! far that a value outside of what is normal looks as if it were inside. All is whole-number arithmetic after one
//! rounding, so a sentence is the same on every machine.

use crate::features::FEATURES;
use crate::features::schema::SCHEMA;
use core::fmt::{self, Write};

/// First of the features that come from the host context.
const CONTEXT: usize = 35;
/// Decimals that a value may get beyond the usual, so that rounding does not hide on which side of a bound it is.
const MORE_DECIMALS: u32 = 3;

/// A feature's value beside what is normal.
///
/// Written out it is a sentence: `the target sent 12 packets; here normally 0 to 4`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// Index in the schema.
    pub feature: u8,
    /// What was seen.
    pub value: f32,
    /// 1 % of benign rows lie below.
    pub normal_low: f32,
    /// 1 % of benign rows lie above.
    pub normal_high: f32,
}

/// What was seen, without what is normal.
#[derive(Clone, Copy, Debug)]
pub struct Seen(Finding);

/// What is normal: a range, or whether it is rare.
#[derive(Clone, Copy, Debug)]
pub struct Normal(Finding);

/// How a feature's values are told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// How many of something.
    Count,
    /// How many of something a second.
    Rate,
    /// Milliseconds.
    Time,
    /// Octets.
    Octets,
    /// 0 to 1.
    Share,
    /// A name that happens to be a number.
    Port,
    /// Yes or no.
    Flag,
}

impl Finding {
    /// What was seen.
    pub const fn seen(&self) -> Seen {
        Seen(*self)
    }

    /// What is normal.
    pub const fn normal(&self) -> Normal {
        Normal(*self)
    }

    /// Whether the value lies in the range of what is normal: then it is odd for what it stands beside, or between.
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

    /// The smallest number of decimals more than usual that keeps the value on its side of both bounds.
    fn decimals(&self) -> u32 {
        let measure = self.measure();
        let shown = |number: f32, more: u32| measure.amount(number, more).rounded();
        let keeps = |more: &u32| {
            let value = shown(self.value, *more);
            (self.value >= self.normal_low || value < shown(self.normal_low, *more))
                && (self.value <= self.normal_high || value > shown(self.normal_high, *more))
        };
        (0..MORE_DECIMALS).find(keeps).unwrap_or(MORE_DECIMALS)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seen, normal, measure) = (self.seen(), self.normal(), self.measure());
        match measure {
            Measure::Flag => write!(f, "{seen}; {normal} here"),
            // A port between two others is none the more usual for it.
            Measure::Port => write!(f, "{seen}; here normally {normal}"),
            _ if self.is_usual() => write!(f, "{seen}; within what is normal here, {normal}"),
            _ => write!(f, "{seen}; here normally {normal}"),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (finding, feature) = (&self.0, usize::from(self.0.feature));
        let words = WORDS.get(feature).copied().unwrap_or("a feature that is not known here was #");
        let (words, at_zero) = words.split_once('|').unwrap_or((words, ""));
        let nothing = if finding.measure() == Measure::Flag { finding.value < 0.5 } else { finding.value == 0.0 };
        if nothing && !at_zero.is_empty() {
            return f.write_str(at_zero);
        }
        let amount = finding.measure().amount(finding.value, finding.decimals());
        for character in words.chars() {
            match character {
                '#' => write!(f, "{amount}")?,
                '~' if amount.is_one() => {}
                '~' => f.write_char('s')?,
                other => f.write_char(other)?,
            }
        }
        // Of hosts elsewhere nothing is counted, and nothing looks like 0.
        f.write_str(if nothing && feature >= CONTEXT { ", or it is no host of this network" } else { "" })
    }
}

impl fmt::Display for Normal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (finding, measure) = (&self.0, self.0.measure());
        if measure == Measure::Flag {
            return f.write_str(if finding.is_usual() { "common" } else { "rare" });
        }
        let more = finding.decimals();
        let (low, high) = (measure.amount(finding.normal_low, more), measure.amount(finding.normal_high, more));
        if (low.digits, low.unit) == (high.digits, high.unit) {
            return write!(f, "{high}");
        }
        // A unit that both have is said once, and 0 needs none.
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
    /// Behind a space, empty for none.
    unit: &'static str,
    /// What one of the unit is of the plain value.
    scale: f64,
    grouped: bool,
}

impl Measure {
    /// A plain value, with so many decimals more than it usually has.
    fn amount(self, value: f32, more: u32) -> Amount {
        let size = f64::from(value).abs();
        let (unit, scale) = self.unit(size);
        let scaled = size / scale;
        let usual = match self {
            Self::Port | Self::Flag => 0,
            Self::Count if unit.is_empty() => 0,
            Self::Octets if unit == "B" => 0,
            Self::Share if scaled >= 0.95 => 0,
            // What is not 0 shall not read as 0.
            _ if scaled > 0.0 && scaled < 0.095 => 2,
            _ => u32::from(scaled < 9.95 && scaled != 0.0),
        };
        let decimals = usual + more;
        // Saturates, and is 0 for what is no number: bounded, whatever an agent sends.
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
        // 999.6 would read as 1,000 of the unit below.
        steps.iter().find(|step| size < step.0 * 0.999_5).map_or(("", 1.0), |step| (step.1, step.2))
    }
}

impl Amount {
    /// What is read of it, in the plain value's unit.
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

/// What was seen, in the order of the schema. `#` stands for the value, `~` for an s where that is not 1; behind `|`
/// stands what a value of 0 means, where it is not just none: for what is yes or no, the no.
#[rustfmt::skip]
const WORDS: [&str; FEATURES] = [
    "the flow, or this part of it, lasted #|the flow had one packet, or several at once",
    "the source sent # packet~",
    "the target sent # packet~",
    "the source sent #",
    "the target sent #",
    "the source sent # of content|the source sent no content",
    "the target sent # of content|the target sent no content",
    "the source's packets had # on average|the source sent no packet",
    "the source's packets varied in size by #|the source's packets were all of one size",
    "the source's largest packet had #|the source sent no packet",
    "the target's packets had # on average|the target sent no packet",
    "the target's packets varied in size by #|the target's packets were all of one size, if there were any",
    "the target's largest packet had #|the target sent no packet",
    "the source paused # between packets, on average|the source sent fewer than two packets, or all at once",
    "the source's pauses varied by #|the source's pauses were all alike, or fewer than two",
    "the target paused # between packets, on average|the target sent fewer than two packets, or all at once",
    "the target's pauses varied by #|the target's pauses were all alike, or fewer than two",
    "the longest pause of either side was #|neither side paused between packets",
    "the flow ran at # packet~ a second|the flow had a single packet",
    "# of the octets came from the target",
    "# of the packets carried content",
    "# packet~ carried SYN, which opens a connection",
    "# packet~ carried FIN, which ends a connection",
    "# packet~ carried RST, which breaks a connection off",
    "# of the packets carried PSH, which asks to be passed on at once",
    "the source's first TCP window was #|the source's first TCP window was 0 B, or it is not TCP",
    "the target took the connection after #|no connection was seen to be opened and taken",
    "the target answered|the target did not answer",
    "the flow had been going on before|the flow was new",
    "the flow was TCP|the flow was not TCP",
    "the flow was UDP|the flow was not UDP",
    "the flow was ICMP|the flow was not ICMP",
    "the target's port was #|the target's port was 0, or there was none",
    "the target was a multicast or broadcast address|the target was no multicast or broadcast address",
    "the target was in this network|the target was not in this network",
    "the source opened about # flow~ within 3 s",
    "the source opened about # flow~ within 30 s",
    "the source opened about # flow~ within 5 min",
    "# of the flows that the source opened in about 30 s had no answer",
    "the source opened flows to about # different host~ within 30 to 60 s",
    "the source opened flows to about # different host~ within 5 to 10 min",
    "the source opened flows to about # different port~ within 30 to 60 s",
    "the source sent about # within 5 min, in all its flows",
    "the source received about # within 5 min, in all its flows",
    "the target had about # flow~ aimed at it within 3 s",
    "the target had about # flow~ aimed at it within 30 s",
    "# of the flows aimed at the target in about 30 s had no answer",
    "flows were aimed at about # different port~ of the target within 30 to 60 s",
];

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
