//! Rejected frames and irregular packets → reasons and their counts.

use core::fmt;

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Reason for not metering a frame, or for metering it without all of its fields. Counted, never logged
        /// individually.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Refusal {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Refusal {
            /// Every reason, in the order of [`Refusal::index`].
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Stable name for counters and summaries: lowercase words joined by underscores.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

refusals! {
    /// Nothing was captured.
    EmptyFrame = "empty_frame",
    /// [`super::decode`] does not support the link type of the frame or its interface.
    UnknownLinkType = "unknown_link_type",
    /// The capture ends inside the link header, a VLAN tag or the PPPoE header.
    TruncatedLinkHeader = "truncated_link_header",
    /// More than [`super::MAX_TAGS`] VLAN tags.
    TooManyTags = "too_many_tags",
    /// PPPoE of another version, type or code than session data (RFC 2516 §4).
    BadPppoeHeader = "bad_pppoe_header",
    /// The capture ends inside the IP header, an extension header or the ARP packet.
    TruncatedNetworkHeader = "truncated_network_header",
    /// The IP version differs from the link header's.
    BadVersion = "bad_version",
    /// The length of the IPv4 header is below 20 octets, or that of an authentication header below its minimum.
    BadHeaderLength = "bad_header_length",
    /// The IPv4 total length is below the header length.
    TotalLengthBelowHeader = "total_length_below_header",
    /// More than [`super::USUAL_EXTENSIONS`] extension headers, or [`super::USUAL_EXTENSION_OCTETS`] octets of them.
    TooManyExtensions = "too_many_extensions",
    /// An extension or transport header exceeds the length in the IP header, or is split over several fragments.
    HeaderBeyondDatagram = "header_beyond_datagram",
    /// The capture ends inside the transport header.
    TruncatedTransportHeader = "truncated_transport_header",
    /// The TCP or DCCP data offset is less than the fixed header or beyond the datagram.
    BadDataOffset = "bad_data_offset",
    /// ARP for IPv4 with addresses that are not four octets long, or an operation above 255.
    BadArp = "bad_arp",
}

impl Refusal {
    /// Number of reasons.
    pub const COUNT: usize = Self::ALL.len();

    /// Index in [`Refusal::ALL`], below [`Refusal::COUNT`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The name with spaces for underscores.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.name().split('_').enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

impl core::error::Error for Refusal {}

/// Rejected frames by reason. Counts saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalCounts([u64; Refusal::COUNT]);

impl RefusalCounts {
    /// Adds one frame.
    #[inline]
    pub fn count(&mut self, reason: Refusal) {
        let cell = &mut self.0[reason.index()];
        *cell = cell.saturating_add(1);
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (cell, more) in self.0.iter_mut().zip(other.0) {
            *cell = cell.saturating_add(more);
        }
    }

    /// Frames rejected for `reason`.
    pub const fn get(&self, reason: Refusal) -> u64 {
        self.0[reason.index()]
    }

    /// Frames rejected for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Every reason with its count, including 0, in the order of [`Refusal::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.into_iter().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::string::ToString;

    #[test]
    fn every_reason_has_its_own_index_and_name() {
        for (i, reason) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), i);
        }
        let names: BTreeSet<_> = Refusal::ALL.into_iter().map(Refusal::name).collect();
        assert_eq!(names.len(), Refusal::COUNT);
        assert_eq!(Refusal::BadDataOffset.to_string(), "bad data offset");
    }

    #[test]
    fn counts_are_per_reason_and_in_total() {
        let mut counts = RefusalCounts::default();
        counts.count(Refusal::EmptyFrame);
        counts.count(Refusal::BadArp);
        counts.count(Refusal::BadArp);
        assert_eq!((counts.get(Refusal::BadArp), counts.get(Refusal::BadVersion), counts.total()), (2, 0, 3));
        let once = counts;
        counts.merge(&once);
        assert_eq!((counts.get(Refusal::BadArp), counts.get(Refusal::EmptyFrame), counts.total()), (4, 2, 6));
        assert_eq!(counts.iter().map(|(_, n)| n).sum::<u64>(), 6);
    }
}
