//! The packet socket and its ring: the only module with `unsafe`.
//!
//! Contains the system calls and the mapping through which the kernel passes blocks; packets are parsed elsewhere, in
//! safe code. The status word in a block's descriptor says whether the block belongs to the kernel or to us. The kernel
//! does not write to our blocks, so a slice of one is valid until the block is returned.
//! Source: Linux, Documentation/networking/packet_mmap.rst; packet(7).

use crate::filter::Instruction;
use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Offset of the status word in a block, after version and offset of the private area.
const STATUS_AT: usize = 8;
/// Time after which the kernel closes a block that is not full, milliseconds.
pub(crate) const RETIRE_MS: u32 = 50;
/// Slot size, required by the kernel's interface; TPACKET_V3 packs frames of any length.
const FRAME_BYTES: u32 = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingSize {
    /// A multiple of the page size.
    pub(crate) block_bytes: u32,
    pub(crate) blocks: u32,
}

/// The kernel's counters since the previous request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// Packets for this socket, dropped ones included.
    pub(crate) packets: u32,
    /// Packets dropped because no block was free.
    pub(crate) drops: u32,
    /// How often the ring was full.
    pub(crate) freezes: u32,
}

/// A memory mapping, unmapped on drop.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping is owned by this value alone and is not tied to a thread.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those of a successful mmap, unmapped only here; slices of it borrow the socket
        // that owns this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

pub(crate) struct PacketSocket {
    socket: OwnedFd,
    ring: Mapping,
    size: RingSize,
    current: u32,
    held: bool,
}

fn checked(outcome: libc::c_int) -> io::Result<libc::c_int> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}

fn set<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let bytes = size_of_val(value) as libc::socklen_t;
    // SAFETY: pointer and length are those of a value that lives through the call; the kernel only reads it.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), bytes) })?;
    Ok(())
}

fn get<T: Default>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int) -> io::Result<T> {
    let mut value = T::default();
    let mut bytes = size_of::<T>() as libc::socklen_t;
    let place = std::ptr::from_mut(&mut value).cast();
    // SAFETY: pointer and length are those of a local value; every `T` used here is made of integers, so whatever the
    // kernel writes into it is valid.
    checked(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, place, &raw mut bytes) })?;
    Ok(value)
}

/// `tpacket_stats_v3`.
#[repr(C)]
#[derive(Default)]
struct RawStatistics {
    packets: u32,
    drops: u32,
    freezes: u32,
}

impl PacketSocket {
    /// Opens an unbound socket with a ring and space for a tag in front of each frame. Only this call needs CAP_NET_RAW.
    pub(crate) fn open(size: RingSize) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointers; nothing else owns the new descriptor.
        let socket = unsafe { OwnedFd::from_raw_fd(checked(libc::socket(libc::AF_PACKET, kind, 0))?) };
        set(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as libc::c_int))?;
        set(&socket, libc::SOL_PACKET, libc::PACKET_RESERVE, &(crate::block::TAG_OCTETS as u32))?;
        let request = libc::tpacket_req3 {
            tp_block_size: size.block_bytes,
            tp_block_nr: size.blocks,
            tp_frame_size: FRAME_BYTES,
            tp_frame_nr: size.block_bytes / FRAME_BYTES * size.blocks,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let bytes = size.block_bytes as usize * size.blocks as usize;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address; the length is that of the ring created above.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, socket.as_raw_fd(), 0) };
        let start = NonNull::new(start.cast()).filter(|_| start != libc::MAP_FAILED);
        let ring = Mapping { start: start.ok_or_else(io::Error::last_os_error)?, bytes };
        Ok(Self { socket, ring, size, current: 0, held: false })
    }

    fn block_start(&self) -> NonNull<u8> {
        let offset = self.current as usize * self.size.block_bytes as usize;
        // SAFETY: `current` is below the number of blocks, so the result lies within the mapping.
        unsafe { self.ring.start.add(offset) }
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: a block begins on a page and is longer than its descriptor, so the word is in bounds and aligned; the
        // mapping outlives `self`, and both sides access this word only atomically.
        unsafe { AtomicU32::from_ptr(self.block_start().add(STATUS_AT).cast().as_ptr()) }
    }

    /// Takes the current block if the kernel has released it; returns whether it is ours.
    pub(crate) fn take(&mut self) -> bool {
        self.held = self.held || self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0;
        self.held
    }

    /// The current block; empty while it belongs to the kernel.
    #[inline]
    pub(crate) fn block(&mut self) -> &mut [u8] {
        if !self.held {
            return &mut [];
        }
        // SAFETY: the block is within the mapping and ours until `release`, which needs `&mut self` and therefore ends
        // this borrow; the kernel does not write to our blocks.
        unsafe { std::slice::from_raw_parts_mut(self.block_start().as_ptr(), self.size.block_bytes as usize) }
    }

    /// Returns the current block to the kernel and moves on to the next.
    pub(crate) fn release(&mut self) {
        if self.held {
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.held = false;
            self.current = (self.current + 1) % self.size.blocks;
        }
    }

    /// Captures all packets of this interface, and of no other, from now on.
    pub(crate) fn bind(&self, interface: u32) -> io::Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: interface as libc::c_int,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let bytes = size_of_val(&address) as libc::socklen_t;
        // SAFETY: pointer and length are those of a local value that the kernel only reads.
        checked(unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), bytes) })?;
        Ok(())
    }

    /// Puts the interface into promiscuous mode until the socket is closed.
    pub(crate) fn promiscuous(&self, interface: u32) -> io::Result<()> {
        let membership = libc::packet_mreq {
            mr_ifindex: interface as libc::c_int,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set(&self.socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)
    }

    /// Attaches a filter program.
    pub(crate) fn attach(&self, program: &[Instruction]) -> io::Result<()> {
        let mut steps: Vec<libc::sock_filter> = program
            .iter()
            .map(|step| libc::sock_filter { code: step.code, jt: step.if_true, jf: step.if_false, k: step.operand })
            .collect();
        let length = u16::try_from(steps.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let program = libc::sock_fprog { len: length, filter: steps.as_mut_ptr() };
        // The kernel copies the program during the call.
        set(&self.socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// The kernel's counters since the last call.
    pub(crate) fn statistics(&self) -> io::Result<Statistics> {
        let raw: RawStatistics = get(&self.socket, libc::SOL_PACKET, libc::PACKET_STATISTICS)?;
        Ok(Statistics { packets: raw.packets, drops: raw.drops, freezes: raw.freezes })
    }

    /// Takes the pending error of the socket, such as "network is down".
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        let code: libc::c_int = get(&self.socket, libc::SOL_SOCKET, libc::SO_ERROR).unwrap_or(0);
        (code != 0).then(|| io::Error::from_raw_os_error(code))
    }

    fn request(&self, name: &str, number: libc::Ioctl) -> io::Result<libc::ifreq> {
        // SAFETY: `ifreq` is plain data for which zeros are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.len() >= request.ifr_name.len() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        for (place, octet) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *place = octet as libc::c_char;
        }
        // SAFETY: the three requests made here read and write one `ifreq`, which lives through the call; the name is
        // shorter than its array and therefore zero-terminated.
        checked(unsafe { libc::ioctl(self.socket.as_raw_fd(), number, &raw mut request) })?;
        Ok(request)
    }

    /// Current index of the interface with this name.
    pub(crate) fn index_of(&self, name: &str) -> io::Result<u32> {
        let answer = self.request(name, libc::SIOCGIFINDEX as libc::Ioctl)?;
        // SAFETY: the kernel has just written this member of the union.
        Ok(unsafe { answer.ifr_ifru.ifru_ifindex } as u32)
    }

    /// ARPHRD number of the interface with this name.
    pub(crate) fn hardware_of(&self, name: &str) -> io::Result<u16> {
        let answer = self.request(name, libc::SIOCGIFHWADDR as libc::Ioctl)?;
        // SAFETY: the kernel has just written this member of the union.
        Ok(unsafe { answer.ifr_ifru.ifru_hwaddr.sa_family })
    }

    /// Whether the interface with this name is up and has a carrier.
    pub(crate) fn is_up(&self, name: &str) -> io::Result<bool> {
        let answer = self.request(name, libc::SIOCGIFFLAGS as libc::Ioctl)?;
        // SAFETY: the kernel has just written this member of the union.
        let flags = i32::from(unsafe { answer.ifr_ifru.ifru_flags });
        let up = libc::IFF_UP | libc::IFF_RUNNING;
        Ok(flags & up == up)
    }
}

/// Waits until one of the sockets has a block or an error, or until the timeout.
pub(crate) fn wait<'a>(sockets: impl Iterator<Item = &'a PacketSocket>, places: &mut [libc::pollfd], timeout_ms: i32) {
    let mut count = 0;
    for (place, socket) in places.iter_mut().zip(sockets) {
        *place = libc::pollfd { fd: socket.socket.as_raw_fd(), events: libc::POLLIN | libc::POLLERR, revents: 0 };
        count += 1;
    }
    // SAFETY: pointer and count are those of a slice that lives through the call. An interrupting signal has the effect
    // of a timeout; the caller checks everything anyway.
    unsafe { libc::poll(places.as_mut_ptr(), count as libc::nfds_t, timeout_ms) };
}

/// Permanently drops all capabilities except `kept` (numbers of capability(7)). Call it before other threads start:
/// capabilities are per thread.
pub fn drop_capabilities(kept: &[u32]) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        process: libc::c_int,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Set {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    // _LINUX_CAPABILITY_VERSION_3: two words each; process 0 is the caller.
    let header = Header { version: 0x2008_0522, process: 0 };
    let mut sets = [Set::default(); 2];
    for number in kept {
        let set = &mut sets[(*number / 32) as usize % 2];
        let bit = 1 << (number % 32);
        // Inheritable too, so that they can become ambient.
        (set.effective, set.permitted, set.inheritable) =
            (set.effective | bit, set.permitted | bit, set.inheritable | bit);
    }
    // SAFETY: both pointers are to local values of the layout that this version of the call has.
    let outcome = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Passes a capability on to programs that this process starts.
pub fn raise_ambient(number: u32) -> io::Result<()> {
    let (raise, number) = (libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, number as libc::c_ulong);
    let none: libc::c_ulong = 0;
    // SAFETY: no pointers.
    checked(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, number, none, none) })?;
    Ok(())
}

/// Keeps permitted capabilities across a change of user.
pub fn keep_capabilities() -> io::Result<()> {
    let (one, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: no pointers.
    checked(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, one, none, none, none) })?;
    Ok(())
}

/// Prevents this process and its children from gaining privileges through execve.
pub fn no_new_privileges() -> io::Result<()> {
    let (one, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: no pointers.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, none, none, none) })?;
    Ok(())
}

/// Whether the effective user is root.
pub fn is_root() -> bool {
    // SAFETY: no pointers, never fails.
    unsafe { libc::geteuid() == 0 }
}

/// Permanently changes user and group.
pub fn become_user(user: u32, group: u32) -> io::Result<()> {
    // SAFETY: no pointers except the null of an empty list. Groups first: changing them needs the original user.
    unsafe {
        checked(libc::setgroups(0, std::ptr::null()))?;
        checked(libc::setresgid(group, group, group))?;
        checked(libc::setresuid(user, user, user))?;
    }
    Ok(())
}

/// Sets the niceness, 0 to 19.
pub fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
    Ok(())
}

/// CPU time of this process, milliseconds.
pub fn cpu_ms() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local value.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    #[allow(clippy::unnecessary_cast, reason = "seconds have 32 bits on 32-bit processors")]
    let seconds = time.tv_sec as u64;
    seconds * 1000 + time.tv_nsec as u64 / 1_000_000
}
