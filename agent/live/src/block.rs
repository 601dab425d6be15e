//! One block of a TPACKET_V3 ring → the frames in it. Safe code over a byte slice: checks every offset in the block
//! against the block's length before using it.
//!
//! A block is a descriptor (`tpacket_block_desc`), then packets, each a header (`tpacket3_hdr`), a link address
//! (`sockaddr_ll`) and the frame. All numbers are in native byte order except `sll_protocol`, which is not used.
//! Source: Linux, include/uapi/linux/if_packet.h and Documentation/networking/packet_mmap.rst.

use lapwing_shared::units::{NANOS_PER_SECOND, Timestamp};

/// Length of a VLAN tag; the ring reserves this space in front of each frame.
pub(crate) const TAG_OCTETS: usize = 4;
/// Length of the two MAC addresses; a VLAN tag follows them.
const ADDRESS_OCTETS: usize = 12;
/// Length of `tpacket3_hdr`; the link address follows it.
const HEADER_BYTES: usize = 48;
/// TPID assumed if the kernel does not report one: 802.1Q.
const DEFAULT_TPID: u16 = 0x8100;
/// `TP_STATUS_VLAN_VALID`: the kernel removed a tag from the frame.
const VLAN_VALID: u32 = 1 << 4;
/// `TP_STATUS_VLAN_TPID_VALID`: the header contains that tag's TPID.
const TPID_VALID: u32 = 1 << 6;
/// `PACKET_OUTGOING`: this machine sent the frame.
const OUTGOING: u8 = 4;

/// Location and metadata of a frame in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// Offset of its first octet, including a restored tag.
    pub(crate) place: usize,
    /// Captured octets.
    pub(crate) octets: usize,
    /// Octets on the wire.
    pub(crate) wire_octets: u32,
    pub(crate) timestamp: Timestamp,
    /// ARPHRD number of the interface.
    pub(crate) hardware: u16,
    /// This machine sent the frame.
    pub(crate) outgoing: bool,
    tag: Option<[u8; TAG_OCTETS]>,
}

impl Located {
    /// Restores the tag that the kernel removed, after the MAC addresses, as in a capture file.
    ///
    /// Moves the addresses into the space that the ring reserves. Call it only for Ethernet frames.
    pub(crate) fn restore_tag(&mut self, block: &mut [u8]) {
        let Some(tag) = self.tag.take() else { return };
        let Some(start) = self.place.checked_sub(TAG_OCTETS) else { return };
        let addresses = self.place..self.place + ADDRESS_OCTETS;
        if self.octets < ADDRESS_OCTETS || addresses.end > block.len() {
            return;
        }
        block.copy_within(addresses, start);
        if let Some(place) = block.get_mut(start + ADDRESS_OCTETS..start + ADDRESS_OCTETS + TAG_OCTETS) {
            place.copy_from_slice(&tag);
        }
        (self.place, self.octets) = (start, self.octets + TAG_OCTETS);
        self.wire_octets = self.wire_octets.saturating_add(TAG_OCTETS as u32);
    }
}

/// Iterates over the frames of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    offset: usize,
    remaining: u32,
    /// The block's contents are inconsistent; the frames before that place were returned.
    pub(crate) damaged: bool,
}

#[inline]
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_ne_bytes(*four))
}

#[inline]
fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_ne_bytes(*two))
}

impl Walk {
    /// Reads the block's descriptor: version, offset of the private area, status, packet count, offset of the first
    /// packet.
    pub(crate) fn begin(block: &[u8]) -> Self {
        match (number(block, 12), number(block, 16)) {
            (Some(remaining), Some(offset)) => Self { offset: offset as usize, remaining, damaged: false },
            _ => Self { damaged: true, ..Self::default() },
        }
    }

    /// The next frame; `None` at the end of the block or on inconsistent contents.
    #[inline]
    pub(crate) fn next(&mut self, block: &[u8]) -> Option<Located> {
        if self.remaining == 0 {
            return None;
        }
        let located = self.locate(block);
        if located.is_none() {
            (self.remaining, self.damaged) = (0, true);
        }
        located
    }

    #[inline]
    fn locate(&mut self, block: &[u8]) -> Option<Located> {
        let packet = block.get(self.offset..)?;
        let header: &[u8; HEADER_BYTES] = packet.first_chunk()?;
        let field = |at: usize| number(header, at).unwrap_or(0);
        let (next, seconds, nanos, captured, wire) = (field(0), field(4), field(8), field(12), field(16));
        let (status, mac, vlan) = (field(20), short(header, 24)?, field(32));
        let octets = captured as usize;
        packet.get(usize::from(mac)..)?.get(..octets)?;
        let place = self.offset + usize::from(mac);
        let tag = (vlan != 0 || status & VLAN_VALID != 0).then(|| {
            let tpid = if status & TPID_VALID == 0 { DEFAULT_TPID } else { short(header, 36).unwrap_or(DEFAULT_TPID) };
            let ([a, b], [c, d]) = (tpid.to_be_bytes(), (vlan as u16).to_be_bytes());
            [a, b, c, d]
        });
        self.remaining -= 1;
        // The last packet of a block has no valid offset of a next one.
        if self.remaining > 0 {
            // An offset shorter than a header could make the iteration endless.
            self.offset = self.offset.checked_add(next as usize).filter(|_| next as usize >= HEADER_BYTES)?;
        }
        Some(Located {
            place,
            octets,
            wire_octets: wire,
            timestamp: Timestamp::from_nanos(u64::from(seconds) * NANOS_PER_SECOND + u64::from(nanos)),
            hardware: short(packet, HEADER_BYTES + 8)?,
            outgoing: *packet.get(HEADER_BYTES + 10)? == OUTGOING,
            tag,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: usize = 64;
    const MAC: usize = 90;

    /// Octets, status, tag control information and TPID of a frame in a block.
    type TestFrame<'a> = (&'a [u8], u32, u32, u16);

    /// A block in the kernel's layout.
    fn block(frames: &[TestFrame<'_>]) -> Vec<u8> {
        let mut block = vec![0; FIRST];
        block[12..16].copy_from_slice(&(frames.len() as u32).to_ne_bytes());
        block[16..20].copy_from_slice(&(FIRST as u32).to_ne_bytes());
        for (index, (octets, status, tci, tpid)) in frames.iter().enumerate() {
            let length = (MAC + octets.len()).next_multiple_of(16);
            let mut packet = vec![0; length];
            let next = if index + 1 < frames.len() { length as u32 } else { 0 };
            let wire = octets.len() as u32 + 1000;
            let numbers = [next, 7, 5, octets.len() as u32, wire, *status];
            for (place, value) in packet.chunks_exact_mut(4).zip(numbers) {
                place.copy_from_slice(&value.to_ne_bytes());
            }
            packet[24..26].copy_from_slice(&(MAC as u16).to_ne_bytes());
            packet[32..36].copy_from_slice(&tci.to_ne_bytes());
            packet[36..38].copy_from_slice(&tpid.to_ne_bytes());
            packet[56..58].copy_from_slice(&1_u16.to_ne_bytes());
            packet[58] = if index == 1 { 4 } else { 0 };
            packet[MAC..MAC + octets.len()].copy_from_slice(octets);
            block.extend_from_slice(&packet);
        }
        block
    }

    fn all(block: &[u8]) -> (Vec<Located>, bool) {
        let mut walk = Walk::begin(block);
        let found = std::iter::from_fn(|| walk.next(block)).collect();
        (found, walk.damaged)
    }

    #[test]
    fn frames_are_returned_in_order_with_time_length_and_direction() {
        let block = block(&[(&[1; 20], 0, 0, 0), (&[2; 33], 0, 0, 0), (&[3; 1], 0, 0, 0)]);
        let (frames, damaged) = all(&block);
        assert!(!damaged);
        let octets: Vec<&[u8]> = frames.iter().map(|frame| &block[frame.place..frame.place + frame.octets]).collect();
        assert_eq!(octets, [&[1; 20][..], &[2; 33], &[3; 1]]);
        assert!(frames.iter().all(|frame| frame.timestamp == Timestamp::from_nanos(7_000_000_005)));
        assert!(frames.iter().all(|frame| frame.hardware == 1));
        assert_eq!(frames.iter().map(|frame| frame.wire_octets).collect::<Vec<_>>(), [1020, 1033, 1001]);
        assert_eq!(frames.iter().map(|frame| frame.outgoing).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn a_removed_tag_is_restored_after_the_addresses() {
        let frame: Vec<u8> = (0..20).collect();
        for (status, tci, tpid, expected) in [
            (VLAN_VALID | TPID_VALID, 0x2005, 0x88a8, Some([0x88, 0xa8, 0x20, 0x05])),
            (VLAN_VALID, 0, 0, Some([0x81, 0, 0, 0])),
            (0, 7, 0, Some([0x81, 0, 0, 7])),
            (0, 0, 0x88a8, None),
        ] {
            let mut block = block(&[(&frame, status, tci, tpid)]);
            let mut located = Walk::begin(&block).next(&block).unwrap();
            located.restore_tag(&mut block);
            let octets = &block[located.place..located.place + located.octets];
            let tag = expected.unwrap_or_default();
            let whole = [&frame[..12], if expected.is_some() { &tag } else { &[] }, &frame[12..]].concat();
            assert_eq!(octets, whole);
            assert_eq!(located.wire_octets as usize, whole.len() + 1000);
        }
    }

    #[test]
    fn a_frame_too_short_for_addresses_is_unchanged() {
        let mut block = block(&[(&[9; 11], VLAN_VALID, 5, 0)]);
        let mut located = Walk::begin(&block).next(&block).unwrap();
        let before = (located.place, located.octets);
        located.restore_tag(&mut block);
        assert_eq!((located.place, located.octets), before);
    }

    #[test]
    fn no_corrupt_number_leads_outside_the_block() {
        let whole = block(&[(&[1; 60], VLAN_VALID, 5, 0), (&[2; 60], 0, 0, 0)]);
        let values = [0, 1, 47, 48, 63, 64, 200, 0x7fff, 0xffff, 0x7fff_ffff, u32::MAX];
        for at in (0..whole.len() - 4).step_by(2) {
            for value in values {
                let mut block = whole.clone();
                block[at..at + 4].copy_from_slice(&value.to_ne_bytes());
                let (frames, _) = all(&block);
                assert!(frames.len() <= block.len() / HEADER_BYTES, "byte {at} = {value}");
                for mut frame in frames {
                    frame.restore_tag(&mut block);
                    assert!(block.get(frame.place..frame.place + frame.octets).is_some(), "byte {at} = {value}");
                }
            }
        }
        for length in 0..whole.len() {
            let (frames, damaged) = all(&whole[..length]);
            assert!(damaged || frames.len() == 2, "{length} bytes: {} frames", frames.len());
        }
    }

    #[test]
    fn a_packet_that_points_to_itself_ends_the_iteration() {
        let mut block = block(&[(&[1; 60], 0, 0, 0), (&[2; 60], 0, 0, 0)]);
        block[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
        block[FIRST..FIRST + 4].copy_from_slice(&0_u32.to_ne_bytes());
        let (frames, damaged) = all(&block);
        assert!(frames.is_empty() && damaged);
    }
}
