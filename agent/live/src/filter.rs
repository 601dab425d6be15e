//! Exclusions → a classic BPF program, with which the kernel drops excluded packets.
//!
//! Syntax of an exclusion: `[tcp|udp] [host ADDRESS | net PREFIX/LENGTH] [port NUMBER]`, at least one of the three. It
//! matches both directions. A packet that matches any exclusion never reaches the ring. This is a small subset of pcap's
//! language, whose compiler (libpcap) is larger than this agent. For anything else, [`Filter::from_tcpdump`] reads the
//! output of `tcpdump -ddd EXPRESSION`.
//!
//! Loads are relative to the network header and use the kernel's protocol field, so one program works on every link
//! type, with or without a tag that the kernel removes. A packet that the program cannot parse is captured: an exclusion
//! by port does not match later fragments, ports after IPv6 extension headers, or frames with a second tag.
//! Source: Linux, Documentation/networking/filter.rst; S. McCanne, V. Jacobson, "The BSD Packet Filter", 1993.

use lapwing_shared::units::Address;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Maximum number of exclusions of one filter.
pub(crate) const EXCLUSIONS: usize = 16;
/// Maximum length of a program (the kernel's `BPF_MAXINSNS`).
pub(crate) const INSTRUCTIONS: usize = 4096;

/// An invalid exclusion or program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Invalid syntax.
    #[error(
        "invalid exclusion `{0}`: expected e.g. `host 192.168.1.5`, `net 10.0.0.0/8`, `tcp port 1883`, \
         `udp host 192.168.1.5 port 53`"
    )]
    Exclusion(String),
    /// More than `EXCLUSIONS`.
    #[error("{0} exclusions given; expected at most {EXCLUSIONS}")]
    TooMany(usize),
    /// Not the output of `tcpdump -ddd`; contains the line.
    #[error("line {0}: expected the output of `tcpdump -ddd EXPRESSION`: a count, then four numbers per line")]
    Program(usize),
}

/// One instruction; corresponds to the kernel's `sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    /// Instructions to skip if the comparison is true.
    pub(crate) if_true: u8,
    /// Instructions to skip if it is false.
    pub(crate) if_false: u8,
    pub(crate) operand: u32,
}

/// Packets to exclude from capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exclusion {
    protocol: Option<u8>,
    network: Option<(IpAddr, u8)>,
    port: Option<u16>,
}

impl Exclusion {
    /// Excludes one TCP service.
    pub fn service(host: IpAddr, port: u16) -> Self {
        Self { protocol: Some(6), network: Some((host, full_length(host))), port: Some(port) }
    }
}

fn full_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Exclusion {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let wrong = || FilterError::Exclusion(text.to_owned());
        let mut exclusion = Self { protocol: None, network: None, port: None };
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let mut operand = || words.next().ok_or_else(wrong);
            match word {
                "tcp" if exclusion.protocol.is_none() => exclusion.protocol = Some(6),
                "udp" if exclusion.protocol.is_none() => exclusion.protocol = Some(17),
                "host" if exclusion.network.is_none() => {
                    let host: IpAddr = operand()?.parse().map_err(|_| wrong())?;
                    exclusion.network = Some((host, full_length(host)));
                }
                "net" if exclusion.network.is_none() => {
                    let (address, length) = operand()?.split_once('/').ok_or_else(wrong)?;
                    let address: IpAddr = address.parse().map_err(|_| wrong())?;
                    let length = length.parse().ok().filter(|length| *length <= full_length(address));
                    exclusion.network = Some((address, length.ok_or_else(wrong)?));
                }
                "port" if exclusion.port.is_none() => {
                    exclusion.port = Some(operand()?.parse().map_err(|_| wrong())?);
                }
                _ => return Err(wrong()),
            }
        }
        let is_empty = exclusion == Self { protocol: None, network: None, port: None };
        (!is_empty).then_some(exclusion).ok_or_else(wrong)
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.map(|number| if number == 6 { "tcp".to_owned() } else { "udp".to_owned() });
        let network = self.network.map(|(address, length)| format!("net {address}/{length}"));
        let port = self.port.map(|port| format!("port {port}"));
        let words: Vec<String> = [protocol, network, port].into_iter().flatten().collect();
        f.write_str(&words.join(" "))
    }
}

/// `SKF_AD_OFF + SKF_AD_PROTOCOL`: loads the EtherType from the kernel's metadata.
const PROTOCOL: u32 = (-0x1000_i32) as u32;
/// `SKF_NET_OFF`: base of offsets relative to the network header.
const NETWORK: u32 = (-0x10_0000_i32) as u32;
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
/// Loads a half-word at X + operand.
const LOAD_HALF_INDEXED: u16 = 0x48;
/// X ← 4 · (octet & 15): the IPv4 header length.
const LOAD_HEADER_LENGTH: u16 = 0xb1;
const LOAD_X: u16 = 0x01;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_SET: u16 = 0x45;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

/// A classic BPF program for the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    excludes_packets: bool,
}

impl Filter {
    /// Captures `snaplen` octets of every packet that matches none of `exclusions`.
    ///
    /// # Errors
    /// [`FilterError::TooMany`].
    pub fn new(exclusions: &[Exclusion], snaplen: u32) -> Result<Self, FilterError> {
        if exclusions.len() > EXCLUSIONS {
            return Err(FilterError::TooMany(exclusions.len()));
        }
        let mut program = Vec::new();
        for exclusion in exclusions {
            for family in [Family::V4, Family::V6] {
                if exclusion.network.is_none_or(|(address, _)| address.is_ipv4() == (family == Family::V4)) {
                    append(&mut program, exclusion, family);
                }
            }
        }
        program.push(instruction(RETURN, snaplen));
        Ok(Self { program, excludes_packets: !exclusions.is_empty() })
    }

    /// Parses the output of `tcpdump -i INTERFACE -ddd EXPRESSION`; captures the packets that match the expression.
    /// INTERFACE must have the link type of the interface to capture on.
    ///
    /// # Errors
    /// [`FilterError::Program`] with the first invalid line. The kernel validates the program when it is attached.
    pub fn from_tcpdump(text: &str) -> Result<Self, FilterError> {
        let mut lines = text.lines().enumerate();
        let count = lines.next().and_then(|(_, line)| line.trim().parse::<usize>().ok());
        let count = count.filter(|count| (1..=INSTRUCTIONS).contains(count)).ok_or(FilterError::Program(1))?;
        let mut program = Vec::with_capacity(count);
        for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let mut numbers = line.split_whitespace().map(str::parse::<u32>);
            let mut next = || numbers.next().and_then(Result::ok).ok_or(FilterError::Program(index + 1));
            let (code, if_true, if_false, operand) = (next()?, next()?, next()?, next()?);
            let (Ok(code), Ok(if_true), Ok(if_false)) = (code.try_into(), if_true.try_into(), if_false.try_into())
            else {
                return Err(FilterError::Program(index + 1));
            };
            program.push(Instruction { code, if_true, if_false, operand });
        }
        if program.len() != count {
            return Err(FilterError::Program(program.len() + 2));
        }
        Ok(Self { program, excludes_packets: true })
    }

    pub(crate) fn program(&self) -> &[Instruction] {
        &self.program
    }

    /// Whether the filter excludes packets. If so, an interface's own counters exceed the packets in the ring.
    pub(crate) fn excludes_packets(&self) -> bool {
        self.excludes_packets
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

fn instruction(code: u16, operand: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, operand }
}

/// Placeholder for a jump to the end of the exclusion; patched once the end is known.
const MISS: u8 = u8::MAX;

fn unless_equal_miss(value: u32) -> Instruction {
    Instruction { code: JUMP_EQUAL, if_true: 0, if_false: MISS, operand: value }
}

/// Appends instructions that return 0 if the exclusion matches and otherwise continue after their end.
fn append(program: &mut Vec<Instruction>, exclusion: &Exclusion, family: Family) {
    let begin = program.len();
    let (ether_type, next_header) = if family == Family::V4 { (0x0800, 9) } else { (0x86dd, 6) };
    program.extend([instruction(LOAD_HALF, PROTOCOL), unless_equal_miss(ether_type)]);
    if let Some((address, length)) = exclusion.network {
        append_network(program, address, length);
    }
    if exclusion.protocol.is_some() || exclusion.port.is_some() {
        program.push(instruction(LOAD_BYTE, NETWORK + next_header));
        match exclusion.protocol {
            Some(number) => program.push(unless_equal_miss(u32::from(number))),
            None => program
                .extend([Instruction { code: JUMP_EQUAL, if_true: 1, if_false: 0, operand: 6 }, unless_equal_miss(17)]),
        }
    }
    if let Some(port) = exclusion.port {
        append_port(program, port, family);
    }
    program.push(instruction(RETURN, 0));
    let end = program.len();
    for (place, step) in program.iter_mut().enumerate().skip(begin).filter(|(_, step)| step.if_false == MISS) {
        // An exclusion has fewer than 40 instructions.
        step.if_false = (end - place - 1) as u8;
    }
    for (place, step) in program.iter_mut().enumerate().skip(begin).filter(|(_, step)| step.if_true == MISS) {
        step.if_true = (end - place - 1) as u8;
    }
}

/// Matches a source or destination within the prefix.
fn append_network(program: &mut Vec<Instruction>, address: IpAddr, length: u8) {
    let (octets, places): (Vec<u8>, [u32; 2]) = match address {
        IpAddr::V4(address) => (address.octets().to_vec(), [12, 16]),
        IpAddr::V6(address) => (Address(address.octets()).0.to_vec(), [8, 24]),
    };
    let words: Vec<(u32, u32)> = octets
        .chunks_exact(4)
        .enumerate()
        .map(|(index, word)| {
            let bits = u32::from(length).saturating_sub(index as u32 * 32).min(32);
            let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
            (u32::from_be_bytes([word[0], word[1], word[2], word[3]]) & mask, mask)
        })
        .filter(|(_, mask)| *mask != 0)
        .collect();
    // Three instructions per word. If the source differs, test the destination; if it matches, skip that test.
    let side = words.len() * 3;
    for (is_destination, place) in [(false, places[0]), (true, places[1])] {
        for (index, (value, mask)) in words.iter().enumerate() {
            program.push(instruction(LOAD_WORD, NETWORK + place + index as u32 * 4));
            program.push(instruction(AND, *mask));
            let to_destination = (side - index * 3 - 3 + 1) as u8;
            let if_false = if is_destination { MISS } else { to_destination };
            program.push(Instruction { code: JUMP_EQUAL, if_true: 0, if_false, operand: *value });
        }
        if !is_destination && !words.is_empty() {
            program.push(instruction(JUMP, side as u32));
        }
    }
}

/// Matches a source or destination port of an unfragmented packet or a first fragment.
fn append_port(program: &mut Vec<Instruction>, port: u16, family: Family) {
    if family == Family::V4 {
        program.push(instruction(LOAD_HALF, NETWORK + 6));
        program.push(Instruction { code: JUMP_SET, if_true: MISS, if_false: 0, operand: 0x1fff });
        program.push(instruction(LOAD_HEADER_LENGTH, NETWORK));
    } else {
        program.push(instruction(LOAD_X, 40));
    }
    program.push(instruction(LOAD_HALF_INDEXED, NETWORK));
    program.push(Instruction { code: JUMP_EQUAL, if_true: 2, if_false: 0, operand: u32::from(port) });
    program.push(instruction(LOAD_HALF_INDEXED, NETWORK + 2));
    program.push(unless_equal_miss(u32::from(port)));
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
