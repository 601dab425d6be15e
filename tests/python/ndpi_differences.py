"""Captures of nDPI's own tests in which its flows differ from ours, each with the reason (docs/metering.md)."""

TUNNEL = "nDPI looks into the tunnel, the agent meters the outermost IP header"
FRAGMENTS = "nDPI does not count later fragments, the agent gives them to the flow of the first one"
MALFORMED = "one side refuses malformed packets that the other one counts"
LINK = "a link type that the agent does not decode; it says so"
CUT = "nDPI leaves out packets that the snaplen cut"

EXPLAINED = {
    "4in6tunnel.pcap": TUNNEL,
    "6in4tunnel.pcap": TUNNEL,
    "6in6tunnel.pcap": TUNNEL,
    "capwap.pcap": TUNNEL,
    "dtls.pcap": TUNNEL,
    "gre.pcapng": TUNNEL,
    "http_origin_different_than_host.pcap": TUNNEL,
    "ja3_lots_of_cipher_suites_2_anon.pcap": TUNNEL,
    "reasm_segv_anon.pcapng": TUNNEL,
    "syslog.pcap": TUNNEL,
    "tls_change_cipher.pcap": TUNNEL,
    "zoom.pcap": TUNNEL,
    "dnscrypt-v1-and-resolver-pings.pcap": FRAGMENTS,
    "ip_fragmented_garbage.pcap": FRAGMENTS,
    "reasm_crash_anon.pcapng": FRAGMENTS,
    "badpackets.pcap": MALFORMED,
    "fuzz-2006-09-29-28586.pcap": MALFORMED,
    "fuzz-2020-02-16-11740.pcap": MALFORMED,
    "fuzz-2021-06-07-c6c72a0a56.pcap": MALFORMED,
    "BGP_redist.pcap": LINK,
    "someip_sd_sample.pcap": LINK,
    "rsh-syslog-false-positive.pcap": CUT,
    "ah.pcapng": "the agent steps behind an authentication header to the transport header, nDPI stops there",
    "pinterest.pcap": "nDPI prints the IPv6 address 2600:1901:0:7a0b:: with two double colons",
}
