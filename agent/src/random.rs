//! The kernel's random bytes.

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `room` with the kernel's random bytes. Waits until the kernel has collected enough randomness after a boot, which
/// reading `/dev/urandom` would not: keys from before that can be guessed.
pub(crate) fn fill_random(mut room: &mut [u8]) -> std::io::Result<()> {
    while !room.is_empty() {
        let filled = rustix::io::retry_on_intr(|| getrandom(&mut *room, GetRandomFlags::empty()))?;
        room = &mut room[filled..];
    }
    Ok(())
}
