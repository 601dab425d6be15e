//! Puts frames on an interface: a capture's, or made-up ones as fast as the kernel takes them. A tool for tests.
//!
//! `lapwing-send INTERFACE file CAPTURE` sends the capture once for each line on standard input, answering `sent COUNT`.
//! `lapwing-send INTERFACE flood SECONDS OCTETS[,OCTETS…]` sends UDP frames of these lengths from 4,096 flows, then says how many.
//! A timestamping socket is held meanwhile, so that every listener is told the same time for a packet.

#![expect(unsafe_code, reason = "a packet socket that sends; the agent itself never does")]

use lapwing_capture::{FileSource, PacketSource};
use std::io::{self, BufRead, Write};
use std::mem::{size_of, size_of_val, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Frames of one call.
const BATCH: usize = 64;
/// Flows of a flood.
const FLOWS: u32 = 4096;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [interface, "file", capture] => send_file(&Sender::open(interface)?, Path::new(capture)),
        [interface, "flood", seconds, octets] => {
            let octets: Vec<usize> = octets.split(',').filter_map(|octets| octets.parse().ok()).collect();
            flood(&Sender::open(interface)?, seconds.parse().unwrap_or(5), &octets)
        }
        _ => Err(io::Error::other("expected INTERFACE file CAPTURE or INTERFACE flood SECONDS OCTETS")),
    }
}

fn send_file(sender: &Sender, capture: &Path) -> io::Result<()> {
    let _stamping = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| stamp(&socket).map(|()| socket));
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

#[expect(clippy::disallowed_methods, reason = "a tool that measures speed")]
fn flood(sender: &Sender, seconds: u64, octets: &[usize]) -> io::Result<()> {
    let frames: Vec<Vec<u8>> = (0..FLOWS).map(|flow| udp(flow, octets[flow as usize % octets.len()])).collect();
    let began = Instant::now();
    let (mut sent, mut sent_octets) = (0, 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        for batch in frames.chunks(BATCH) {
            let count = sender.send(batch);
            sent += count;
            sent_octets += batch.iter().take(count).map(Vec::len).sum::<usize>();
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{{\"frames\": {sent}, \"octets\": {sent_octets}, \"seconds\": {seconds:.3}}}");
    Ok(())
}

/// A UDP datagram of one of [`FLOWS`] flows, `octets` long with its Ethernet header.
fn udp(flow: u32, octets: usize) -> Vec<u8> {
    let length = (octets.max(60) - 14) as u16;
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend(length.to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 192, 168, 1, (flow >> 6) as u8 % 64 + 1, 203, 0, 113, 7]);
    frame.extend((40_000 + (flow % 64) as u16).to_be_bytes());
    frame.extend(5001_u16.to_be_bytes());
    frame.extend((length - 20).to_be_bytes());
    frame.resize(octets.max(60), 0);
    frame
}

struct Sender(OwnedFd);

impl Sender {
    fn open(interface: &str) -> io::Result<Self> {
        let name = std::ffi::CString::new(interface)?;
        // SAFETY: no pointers but that of a string that lives through the call; the new descriptor is owned here alone.
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

    /// Sends up to [`BATCH`] frames in order; gives how many the kernel took.
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

fn stamp(socket: &impl AsRawFd) -> io::Result<()> {
    let on = 1_i32;
    // SAFETY: pointer and length are those of a local value.
    let outcome = unsafe {
        let place = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMP, place, size_of_val(&on) as u32)
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
