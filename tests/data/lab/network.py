"""Builds and removes the lab's network: namespaces, bridges, access lines and routes.

Does not change the machine's own interfaces.
The internet namespace has a blackhole default route, so no packet can leave the lab.
"""
import os, shutil, subprocess, sys, time
from places import (PREFIX, SITES, HOSTS, INTERNET, NAMES6, SCANNED_NETS, outside_v4)

HERE = os.path.dirname(os.path.abspath(__file__))


def sh(command, check=True, quiet=False):
    done = subprocess.run(command, shell=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if check and done.returncode and not quiet:
        raise SystemExit(f"failed: {command}\n{done.stdout}")
    return done.stdout


def inside(ns, command, **more):
    return sh(f"ip netns exec {ns} {command}", **more)


def all_names():
    return [INTERNET] + [s["gw_ns"] for s in SITES.values()] + \
           [h.ns for hosts in HOSTS.values() for h in hosts]


def remove():
    """Kills the processes in the lab's namespaces, then deletes the namespaces."""
    for ns in sh("ip netns list", check=False).split():
        if ns.startswith(PREFIX + "-"):
            for pid in sh(f"ip netns pids {ns}", check=False).split():
                sh(f"kill -9 {pid}", check=False)
            sh(f"ip netns del {ns}", check=False)
            shutil.rmtree(f"/etc/netns/{ns}", ignore_errors=True)


def new_namespace(ns, resolver):
    sh(f"ip netns add {ns}")
    inside(ns, "ip link set lo up")
    os.makedirs(f"/etc/netns/{ns}", exist_ok=True)
    with open(f"/etc/netns/{ns}/resolv.conf", "w") as out:
        out.write(f"nameserver {resolver}\noptions timeout:2 attempts:2\n")


def no_offload(ns, device):
    # Otherwise offloading would leave captured checksums incomplete and segments oversized.
    inside(ns, f"ethtool -K {device} tx off rx off tso off gso off gro off", check=False)


def build():
    remove()
    new_namespace(INTERNET, "192.0.2.53")
    inside(INTERNET, "sysctl -qw net.ipv4.ip_forward=0 net.ipv4.icmp_ratelimit=0")
    for ip in outside_v4():
        inside(INTERNET, f"ip addr add {ip}/32 dev lo")
    for ip in NAMES6.values():
        inside(INTERNET, f"ip addr add {ip}/128 dev lo nodad")
    inside(INTERNET, "ip route add blackhole default")
    inside(INTERNET, "ip -6 route add blackhole default")
    for site, place in SITES.items():
        build_site(site, place)


def build_site(site, place):
    gw, index = place["gw_ns"], place["index"]
    new_namespace(gw, "192.0.2.53")
    inside(gw, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
               "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")
    subprocess.Popen(["ip", "netns", "exec", gw, sys.executable, f"{HERE}/wan_delay.py",
                      "wan0", f"line-{index:x}"])
    for _ in range(50):
        if "line-" in inside(gw, "ip link", check=False):
            break
        time.sleep(0.1)
    inside(gw, f"ip link set line-{index:x} netns {INTERNET}")
    near, far = place["wan"]
    near6, far6 = place["wan6"]
    inside(gw, f"ip addr add {near}/30 dev wan0")
    inside(gw, f"ip -6 addr add {near6}/64 dev wan0 nodad")
    inside(gw, "ip link set wan0 up")
    inside(INTERNET, f"ip addr add {far}/30 dev line-{index:x}")
    inside(INTERNET, f"ip -6 addr add {far6}/64 dev line-{index:x} nodad")
    inside(INTERNET, f"ip link set line-{index:x} up")
    inside(gw, f"ip route add default via {far}")
    inside(gw, f"ip -6 route add default via {far6}")
    inside(gw, "nft add table ip nat")
    inside(gw, "nft 'add chain ip nat post { type nat hook postrouting priority 100; }'")
    inside(gw, "nft add rule ip nat post oifname wan0 masquerade")
    for lan, part in place["lans"].items():
        bridge = f"br-{lan}"
        inside(gw, f"ip link add {bridge} address {part['mac']} type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
        inside(gw, f"ip addr add {part['gw']}/{part['bits']} brd + dev {bridge}")
        inside(gw, f"ip -6 addr add {part['ula']}/64 dev {bridge} nodad")
        inside(gw, f"ip -6 addr add {part['gua']}/64 dev {bridge} nodad")
        no_offload(gw, bridge)
        inside(gw, f"ip link set {bridge} up")
        inside(INTERNET, f"ip -6 route add {part['gua'][:-1]}/64 via {near6}")
    for h in HOSTS[site]:
        new_namespace(h.ns, place["lans"][h.lan]["gw"])
        inside(h.ns, "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv6.conf.default.accept_ra=1 "
                     "net.ipv4.icmp_ratelimit=0 net.ipv4.tcp_synack_retries=2")
        sh(f"ip link add name {h.name} netns {gw} type veth peer name eth0 netns {h.ns}")
        inside(h.ns, f"ip link set eth0 address {h.mac}")
        inside(gw, f"ip link set {h.name} master br-{h.lan}")
        no_offload(h.ns, "eth0")
        no_offload(gw, h.name)
        inside(gw, f"ip link set {h.name} up")
        inside(h.ns, "ip link set eth0 up")
