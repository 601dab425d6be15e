//! Frames of a capture, or generated ones → an interface. A test tool.
//!
//! `lapwing-send INTERFACE file CAPTURE` sends the capture once per line on standard input and prints `sent COUNT`.
//! `lapwing-send INTERFACE flood SECONDS OCTETS[,OCTETS…]` sends UDP frames of these lengths from 4,096 flows as fast as
//! the kernel accepts them, then prints counts as JSON.
//! It keeps a timestamping socket open while sending a capture, so that every listener gets the same time for a packet.
//!
//! A flood must cost the sender little, or the sender limits the measurement. So it passes [`RUN`] frames of a flow to
//! the kernel as one datagram for segmentation offload, like UDP_SEGMENT. The interface must not offer that offload
//! itself (for a veth: `ethtool -K INTERFACE tx-udp-segmentation off`), so that the kernel splits the datagram before
//! the interface. Otherwise a veth's peer receives the unsplit datagram and the measurement is useless.

#![expect(unsafe_code, reason = "a packet socket that sends; the agent itself never does")]

use lapwing_capture::{FileSource, PacketSource};
use std::io::{self, BufRead, Write};
use std::mem::{size_of, size_of_val, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Frames per system call.
const BATCH: usize = 64;
/// Flows of a flood.
const FLOWS: u32 = 4096;
/// Consecutive frames of one flow in a flood, passed to the kernel as one datagram.
const RUN: usize = 8;
/// Shortest Ethernet frame without check sequence.
const SHORTEST: usize = 60;
/// Longest Ethernet frame without check sequence.
const LONGEST: usize = 1514;
/// Length of the Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 14 + 20 + 8;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [interface, "file", capture] => send_file(&Sender::open(interface)?, Path::new(capture)),
        [interface, "flood", seconds, octets] => {
            let sizes = sizes(octets)
                .ok_or_else(|| io::Error::other(format!("OCTETS `{octets}`: expected {SHORTEST} to {LONGEST} each")))?;
            let seconds = seconds
                .parse()
                .map_err(|_| io::Error::other(format!("SECONDS `{seconds}`: expected a whole number")))?;
            let sender = Sender::open(interface)?;
            option(&sender.0, libc::SOL_PACKET, libc::PACKET_VNET_HDR)?;
            flood(&sender, seconds, &sizes)
        }
        _ => Err(io::Error::other(
            "expected arguments: INTERFACE file CAPTURE, or INTERFACE flood SECONDS OCTETS[,OCTETS…]",
        )),
    }
}

fn send_file(sender: &Sender, capture: &Path) -> io::Result<()> {
    let _stamping = std::net::UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMP).map(|()| socket));
    let mut source = FileSource::open(capture).map_err(io::Error::other)?;
    let mut frames = Vec::new();
    while let Some(frame) = source.next_frame().map_err(io::Error::other)? {
        frames.push(frame.data.to_vec());
    }
    println!("ready");
    for line in io::stdin().lock().lines() {
        line?;
        let sent: usize = frames.chunks(BATCH).map(|batch| sender.send(batch)).sum();
        println!("sent {sent}");
        io::stdout().flush()?;
    }
    Ok(())
}

/// Parses frame lengths separated by commas.
fn sizes(octets: &str) -> Option<Vec<usize>> {
    let size = |octets: &str| octets.parse().ok().filter(|octets| (SHORTEST..=LONGEST).contains(octets));
    octets.split(',').map(size).collect()
}

#[expect(clippy::disallowed_methods, reason = "a tool that measures speed")]
fn flood(sender: &Sender, seconds: u64, sizes: &[usize]) -> io::Result<()> {
    let size = |flow: usize| sizes[flow % sizes.len()];
    let runs: Vec<Vec<u8>> = (0..FLOWS as usize).map(|flow| run(flow as u32, size(flow))).collect();
    let began = Instant::now();
    let (mut sent, mut sent_octets, mut flow) = (0, 0, 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        // Continue with the flow after the last one that the kernel accepted.
        let batch = &runs[flow..runs.len().min(flow + BATCH)];
        let count = sender.send(batch);
        sent += count * RUN;
        sent_octets += (flow..flow + count).map(|flow| size(flow) * RUN).sum::<usize>();
        flow = (flow + count) % runs.len();
    }
    if sent == 0 {
        return Err(io::Error::other("the kernel accepted no frames"));
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{{\"frames\": {sent}, \"octets\": {sent_octets}, \"flows\": {FLOWS}, \"seconds\": {seconds:.3}}}");
    Ok(())
}

/// [`RUN`] frames of `octets` each, of one of [`FLOWS`] UDP flows: a `virtio_net_hdr`, then the datagram to be split.
/// Source: Linux, include/uapi/linux/virtio_net.h.
fn run(flow: u32, octets: usize) -> Vec<u8> {
    /// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum is missing, required for segmentation.
    const NEEDS_CHECKSUM: u8 = 1;
    /// `VIRTIO_NET_HDR_GSO_UDP_L4`: each segment becomes a datagram with its own headers.
    const SEGMENT_UDP: u8 = 5;
    /// Offset of the UDP header, and of the checksum in it.
    const CHECKSUM: [u16; 2] = [14 + 20, 6];
    let payload = octets - HEADERS;
    let length = (HEADERS - 14 + payload * RUN) as u16;
    let mut bytes = vec![NEEDS_CHECKSUM, SEGMENT_UDP];
    for number in [HEADERS as u16, payload as u16, CHECKSUM[0], CHECKSUM[1]] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0]);
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 192, 168, 1, (flow >> 6) as u8 % 64 + 1, 203, 0, 113, 7]);
    bytes.extend((40_000 + (flow % 64) as u16).to_be_bytes());
    bytes.extend(5001_u16.to_be_bytes());
    bytes.extend((length - 20).to_be_bytes());
    bytes.resize(bytes.len() + 2 + payload * RUN, 0);
    bytes
}

struct Sender(OwnedFd);

impl Sender {
    fn open(interface: &str) -> io::Result<Self> {
        let name = std::ffi::CString::new(interface)?;
        // SAFETY: the only pointer is that of a string that lives through the call; nothing else owns the descriptor.
        let (socket, index) = unsafe {
            let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            if socket < 0 {
                return Err(io::Error::last_os_error());
            }
            (OwnedFd::from_raw_fd(socket), libc::if_nametoindex(name.as_ptr()))
        };
        // SAFETY: plain data for which zeros are valid.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = index as i32;
        let bytes = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: pointer and length are those of a local value.
        match unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), bytes) } {
            0 => Ok(Self(socket)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sends up to [`BATCH`] frames in order; returns how many the kernel accepted.
    fn send(&self, frames: &[Vec<u8>]) -> usize {
        // SAFETY: plain data for which zeros are valid.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        // SAFETY: as above.
        let mut places: [libc::iovec; BATCH] = unsafe { zeroed() };
        for ((message, place), frame) in messages.iter_mut().zip(&mut places).zip(frames) {
            *place = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
            message.msg_hdr.msg_iov = place;
            message.msg_hdr.msg_iovlen = 1;
        }
        let count = frames.len().min(BATCH) as u32;
        // SAFETY: every header points to a vector and a frame that live through the call; the kernel only reads frames.
        usize::try_from(unsafe { libc::sendmmsg(self.0.as_raw_fd(), messages.as_mut_ptr(), count, 0) }).unwrap_or(0)
    }
}

/// Enables a socket option.
fn option(socket: &impl AsRawFd, level: i32, name: i32) -> io::Result<()> {
    let on = 1_i32;
    // SAFETY: pointer and length are those of a local value.
    let outcome = unsafe {
        let place = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), level, name, place, size_of_val(&on) as u32)
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
