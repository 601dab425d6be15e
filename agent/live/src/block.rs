//! One block of a TPACKET_V3 ring → the frames in it. Safe code over plain bytes: no offset that the block states is
//! believed before it was held against the block's length.
//!
//! A block is a descriptor (`tpacket_block_desc`), then packets, each a header (`tpacket3_hdr`), a link address
//! (`sockaddr_ll`) and the frame. All numbers are in this machine's byte order but for `sll_protocol`, which is not
//! read. Source: Linux, include/uapi/linux/if_packet.h and Documentation/networking/packet_mmap.rst.

use lapwing_shared::units::{NANOS_PER_SECOND, Timestamp};

/// Octets that a VLAN tag takes, and that the ring leaves free in front of each frame for one.
pub(crate) const TAG_OCTETS: usize = 4;
/// Octets of the two MAC addresses, behind which a tag stands.
const ADDRESS_OCTETS: usize = 12;
/// Length of `tpacket3_hdr`; the link address follows it.
const HEADER_BYTES: usize = 48;
/// TPID of a tag whose TPID the kernel did not tell: 802.1Q.
const DEFAULT_TPID: u16 = 0x8100;
/// `TP_STATUS_VLAN_VALID`: the kernel took a tag off the frame.
const VLAN_VALID: u32 = 1 << 4;
/// `TP_STATUS_VLAN_TPID_VALID`: it also says which TPID that tag had.
const TPID_VALID: u32 = 1 << 6;
/// `PACKET_OUTGOING`: this machine sends the frame.
const OUTGOING: u8 = 4;

/// A frame that lies in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// Where its octets begin, a restored tag included.
    pub(crate) place: usize,
    /// How many were captured.
    pub(crate) octets: usize,
    /// How many were on the wire.
    pub(crate) wire_octets: u32,
    /// When the kernel saw it.
    pub(crate) timestamp: Timestamp,
    /// What sort of interface it was seen on, an ARPHRD number.
    pub(crate) hardware: u16,
    /// Whether this machine sent it.
    pub(crate) outgoing: bool,
    tag: Option<[u8; TAG_OCTETS]>,
}

impl Located {
    /// Puts the tag that the kernel took off back behind the MAC addresses, where a capture file has it.
    ///
    /// The addresses move down into the octets that the ring keeps free; only an Ethernet frame has such a place.
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

/// A walk through one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    offset: usize,
    remaining: u32,
    /// The block contradicted itself; what came before that place was given.
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
    /// Reads the block's descriptor: version, offset of the private area, status, packets, offset of the first one.
    pub(crate) fn begin(block: &[u8]) -> Self {
        match (number(block, 12), number(block, 16)) {
            (Some(remaining), Some(offset)) => Self { offset: offset as usize, remaining, damaged: false },
            _ => Self { damaged: true, ..Self::default() },
        }
    }

    /// The next frame; `None` at the block's end, or where its numbers make no sense.
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
        // The last packet of a block names no next one.
        if self.remaining > 0 {
            // A packet that begins inside another's header would let a block be walked for ever.
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

    /// A block with frames of these octets, each with the given status and tag, as the kernel lays it out.
    fn block(frames: &[(&[u8], u32, u32, u16)]) -> Vec<u8> {
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
    fn frames_come_in_order_with_their_times_lengths_and_directions() {
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
    fn a_tag_that_the_kernel_took_off_stands_behind_the_addresses_again() {
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
    fn a_frame_too_short_for_addresses_stays_as_it_is() {
        let mut block = block(&[(&[9; 11], VLAN_VALID, 5, 0)]);
        let mut located = Walk::begin(&block).next(&block).unwrap();
        let before = (located.place, located.octets);
        located.restore_tag(&mut block);
        assert_eq!((located.place, located.octets), before);
    }

    #[test]
    fn no_number_in_a_block_leads_out_of_it() {
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
    fn a_packet_that_names_itself_as_the_next_ends_the_walk() {
        let mut block = block(&[(&[1; 60], 0, 0, 0), (&[2; 60], 0, 0, 0)]);
        block[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
        block[FIRST..FIRST + 4].copy_from_slice(&0_u32.to_ne_bytes());
        let (frames, damaged) = all(&block);
        assert!(frames.is_empty() && damaged);
    }
}
