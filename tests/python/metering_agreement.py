"""Checks that the agent's records agree with Argus, NFStream and nDPI, except for differences listed in docs/metering.md.

    metering_agreement.py [WORD...]      run only tests whose names contain one of the words

The agent is the built one: $LAPWING_AGENT, else debug/lapwing-agent under $CARGO_TARGET_DIR or target.
"""

import importlib.util
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

import flow_peers as peers
from flow_tallies import ROOT, agent_binary, differences, lapwing, padded, tally
from ndpi_differences import EXPLAINED
from skips import skip

CAPTURES = sorted((ROOT / "tests/data/captures").glob("*.pcap*"))
SHARED = ROOT.parent / "shared/data"
# Public captures of real traffic: whole packets, no fragments, no tunnels.
FOREIGN = [
    "esnet-curated/attacks/scanners/nmap/nmap_80_all.pcap",
    "nku-lifecycle/traffic_demo/xiaodu_plug/xiaodu_plug.pcap",
    "tcpreplay/test.pcap",
]
# Argus puts types and identifiers into the port columns of these; nDPI reads no SCTP ports.
WITHOUT_PORTS = ("icmp", "icmpv6", "arp", "2", "132")
ECHO_REPLIES = {("icmp", 0), ("icmpv6", 129)}
SYSTEM_PORTS = 1024
# Non-IP flows have the EtherType as port; NFStream reads packets behind MPLS labels.
MPLS = 0x8847
SYN, ACK = 0x02, 0x10
# Time for which the agent keeps a closed TCP flow for late packets.
LINGER_NS = 2_000_000_000


class Skipped(Exception):
    """A tool or capture is missing."""


def need(condition, what):
    if not condition:
        raise Skipped(what)


def need_nfstream():
    need(importlib.util.find_spec("nfstream"), "the Python package nfstream is not installed")


def expect(condition, *details):
    if not condition:
        raise AssertionError(" ".join(map(str, details)))


WORK = tempfile.TemporaryDirectory(prefix="lapwing-metering-")


@cache
def ours(capture, active=3600):
    return tuple(lapwing(capture, WORK.name, active=active))


@cache
def whole(capture):
    return padded(capture, WORK.name)


@cache
def nfstream(capture, accounting_mode):
    return tuple(peers.nfstream(whole(capture), accounting_mode))


def paired_flows(capture):
    """Keys present on both sides, with the flows of both in time order."""
    mine, theirs = tally(ours(capture)), tally(nfstream(capture, 1))
    for key in sorted(mine.keys() & theirs.keys()):
        yield key, *(sorted(side[key].flows, key=lambda flow: flow.start) for side in (mine, theirs))


def milliseconds(nanoseconds):
    return nanoseconds // 1_000_000


def argus_counts_the_same_packets_and_octets_both_ways_of_every_pair_of_endpoints():
    need(peers.has_argus(), "argus and ra are not installed")
    for capture in CAPTURES:
        mine = tally(ours(capture), "frame_octets", WITHOUT_PORTS)
        theirs = tally(peers.argus(whole(capture), WORK.name), "frame_octets", WITHOUT_PORTS)
        expect(mine and mine.keys() == theirs.keys(), capture.name, mine.keys() ^ theirs.keys())
        expect(not differences(mine, theirs), capture.name, differences(mine, theirs))


def nfstream_counts_the_same_but_leaves_arp_out():
    need_nfstream()
    for capture in CAPTURES:
        for mode, octets in ((0, "frame_octets"), (1, "octets")):
            theirs = tally(nfstream(capture, mode), octets)
            found = differences(tally(ours(capture), octets), theirs)
            unexplained = {key: counts for key, counts in found.items() if key[0] != "arp" or counts[1] is not None}
            expect(theirs and not unexplained, capture.name, octets, unexplained)


def a_capture_cut_by_its_snaplen_is_metered_as_if_it_were_whole():
    for capture in CAPTURES:
        cut, uncut = ours(capture), tuple(lapwing(whole(capture), WORK.name))
        expect(cut and cut == uncut, capture.name, "differs from its padded copy")


def nfstream_leaves_out_ipv6_packets_that_the_snaplen_cut():
    need_nfstream()
    [capture] = [capture for capture in CAPTURES if capture.name == "demo.pcap"]
    found = differences(tally(ours(capture)), tally(peers.nfstream(capture, 1)))
    rest = {key: counts for key, counts in found.items() if key[0] != "arp"}
    expect(rest and all(":" in key[1][0] for key in rest), "expected differences in IPv6 only", rest)


def first_and_last_packets_are_nfstreams_to_the_millisecond():
    need_nfstream()
    compared = 0
    for capture in CAPTURES:
        for key, mine, theirs in paired_flows(capture):
            if len(mine) != len(theirs):
                continue
            for a, b in zip(mine, theirs):
                same = milliseconds(a.start) == milliseconds(b.start) and milliseconds(a.end) == milliseconds(b.end)
                expect(same and a.packets in (b.packets, b.packets[::-1]), capture.name, key, a, b)
                compared += 1
    expect(compared > 1000, "only", compared, "flows compared")


def a_direction_differs_from_nfstreams_only_where_an_answer_was_seen_first():
    need_nfstream()
    for capture in CAPTURES:
        for key, mine, theirs in paired_flows(capture):
            if len(mine) != len(theirs):
                continue
            for a, b in zip(mine, theirs):
                expect(a.source == b.source or answer_first(a), capture.name, key, a, b)


def answer_first(flow):
    """The three cases in which the receiver of the first packet is the initiator."""
    from_service = 0 < flow.destination[1] < SYSTEM_PORTS <= flow.source[1]
    opened_by_answer = flow.protocol == "tcp" and not flow.flags[0] & SYN and flow.flags[1] & SYN and flow.flags[1] & ACK
    return (flow.protocol, flow.icmp_type) in ECHO_REPLIES or from_service or bool(opened_by_answer)


def more_flows_than_nfstreams_are_tcp_connections_that_ended_and_used_their_ports_again():
    need_nfstream()
    seen = 0
    for capture in CAPTURES:
        for key, mine, theirs in paired_flows(capture):
            if len(mine) == len(theirs):
                continue
            ended = [flow.end_reason == "end" for flow in mine[:-1]]
            expect(key[0] == "tcp" and len(mine) > len(theirs) and all(ended), capture.name, key, mine, theirs)
            seen += 1
    expect(seen, "no capture reuses a port, so this test checks nothing")


def a_shorter_active_timeout_cuts_records_and_loses_nothing():
    for capture in CAPTURES:
        cut = ours(capture, active=10)
        expect(len(cut) > len(ours(capture)) or capture.name == "demo.pcap", capture.name, "no flow was split")
        for flow in cut:
            limit = 10_000_000_000 + (LINGER_NS if flow.end_reason == "end" else 0)
            expect(flow.end - flow.start <= limit, capture.name, "a record is too long:", flow)
        expect(not differences(tally(cut), tally(ours(capture))), capture.name)


def argus_counts_the_same_on_captures_of_others():
    need(SHARED.is_dir(), "no public data set (../shared/data)")
    need(peers.has_argus(), "argus and ra are not installed")
    for name in FOREIGN:
        mine = tally(ours(SHARED / name), "frame_octets", WITHOUT_PORTS)
        theirs = tally(peers.argus(SHARED / name, WORK.name), "frame_octets", WITHOUT_PORTS)
        ip = [{key: side[key] for key in side if key[0] in ("tcp", "udp")} for side in (mine, theirs)]
        expect(ip[0] and not differences(*ip), name, differences(*ip))


def nfstream_counts_the_same_on_captures_of_others():
    need(SHARED.is_dir(), "no public data set (../shared/data)")
    need_nfstream()
    for name in FOREIGN:
        found = differences(tally(ours(SHARED / name)), tally(peers.nfstream(SHARED / name, 1)))
        rest = {key: counts for key, counts in found.items() if key[0] not in ("arp", "other") or counts[1]}
        more = sum(sum(theirs[0]) - sum(mine[0] if mine else (0,)) for mine, theirs in rest.values())
        under_mpls = sum(sum(flow.packets) for flow in ours(SHARED / name) if flow.source[1] == MPLS)
        expect(not rest or 0 < more <= under_mpls, name, rest, "packets under MPLS labels:", under_mpls)


def ndpi_differences():
    """Capture name -> differences that are not ARP and non-IP, which nDPI does not meter."""
    folder = SHARED / "ndpi/default"
    need((folder / "result").is_dir(), "no public data set ndpi")
    found = {}
    for result in sorted((folder / "result").glob("*.out")):
        capture = folder / "pcap" / result.name.removesuffix(".out")
        if not capture.exists():
            continue
        mine = tally(ours(capture), "frame_octets", WITHOUT_PORTS)
        theirs = tally(peers.ndpi(result), "frame_octets", WITHOUT_PORTS)
        counts = differences(mine, theirs)
        found[capture.name] = {key: c for key, c in counts.items() if key[0] not in ("arp", "other") or c[1]}
    return found


def ndpi_counts_the_same_in_every_capture_that_is_not_explained():
    found = ndpi_differences()
    unexplained = {name: counts for name, counts in found.items() if counts and name not in EXPLAINED}
    agree = sum(not counts for counts in found.values())
    print(f"   nDPI: {agree} of {len(found)} captures agree in every flow; the other {len(found) - agree} have explained differences")
    expect(not unexplained, unexplained)


def every_explained_capture_does_differ_from_ndpi():
    found = ndpi_differences()
    idle = [name for name in EXPLAINED if name in found and not found[name]]
    expect(not idle, "explained differences that do not occur:", idle)


TESTS = [
    argus_counts_the_same_packets_and_octets_both_ways_of_every_pair_of_endpoints,
    nfstream_counts_the_same_but_leaves_arp_out,
    a_capture_cut_by_its_snaplen_is_metered_as_if_it_were_whole,
    nfstream_leaves_out_ipv6_packets_that_the_snaplen_cut,
    first_and_last_packets_are_nfstreams_to_the_millisecond,
    a_direction_differs_from_nfstreams_only_where_an_answer_was_seen_first,
    more_flows_than_nfstreams_are_tcp_connections_that_ended_and_used_their_ports_again,
    a_shorter_active_timeout_cuts_records_and_loses_nothing,
    argus_counts_the_same_on_captures_of_others,
    nfstream_counts_the_same_on_captures_of_others,
    ndpi_counts_the_same_in_every_capture_that_is_not_explained,
    every_explained_capture_does_differ_from_ndpi,
]


def main(words):
    passed = failed = skipped = 0
    if not Path(agent_binary()).exists():
        print(f"{agent_binary()} not found; build it with `cargo build -p lapwing-agent`")
        return 1
    for test in TESTS:
        name = test.__name__.replace("_", " ")
        if words and not any(word in test.__name__ for word in words):
            continue
        try:
            test()
            passed += 1
            print(f"ok: {name}")
        except Skipped as missing:
            skipped += 1
            skip(f"metering_agreement: {name}", missing)
        except Exception:  # one failed test must not hide the others
            failed += 1
            print(f"FAILED: {name}\n{traceback.format_exc(limit=2)[:4000]}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
