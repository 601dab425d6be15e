//! Irregular packet → whether it is metered, and how it hides its ports.

use super::{Fragment, Network, Packet, Refusal};

/// Ways of sending a packet so that a filter or detector may not see its ports, although its receiver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Concealment {
    /// The transport header does not fit into the first fragment, or a later one begins inside it (RFC 1858, 3128,
    /// 7112). No system makes such fragments: every link carries 68 octets.
    TinyFragments,
    /// More, or longer, IPv6 extension headers than any ordinary packet has.
    ExtensionHeaders,
    /// Header fields that contradict each other, as in fuzzing and in packets meant for the detector only.
    MalformedHeaders,
}

impl Concealment {
    /// Every kind, in the order of [`Concealment::index`].
    pub const ALL: [Self; 3] = [Self::TinyFragments, Self::ExtensionHeaders, Self::MalformedHeaders];

    /// Index in [`Concealment::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Name in alerts, like the name of an attack class.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TinyFragments => "tiny-fragments",
            Self::ExtensionHeaders => "extension-headers",
            Self::MalformedHeaders => "malformed-headers",
        }
    }
}

impl Packet {
    /// After decoding stopped for `reason`: true if the packet has addresses, so that it is metered and `reason` becomes
    /// its irregularity.
    #[cold]
    pub(crate) fn is_metered_despite(&mut self, reason: Refusal) -> bool {
        let addressed = matches!(self.network, Network::Ipv4 | Network::Ipv6);
        self.irregular = addressed.then_some(reason);
        addressed
    }

    /// How an irregular packet hides its ports. `None` if only the capture is to blame, because it has fewer octets than
    /// the packet.
    pub fn concealment(&self) -> Option<Concealment> {
        match self.irregular? {
            Refusal::TruncatedNetworkHeader | Refusal::TruncatedTransportHeader => None,
            Refusal::TooManyExtensions => Some(Concealment::ExtensionHeaders),
            Refusal::HeaderBeyondDatagram if self.fragment != Fragment::Whole => Some(Concealment::TinyFragments),
            _ => Some(Concealment::MalformedHeaders),
        }
    }
}
