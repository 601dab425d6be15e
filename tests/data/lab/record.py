"""Records real sessions: tcpdump on each home's LAN side while the hosts work.

Writes SITE-LAN.pcap files and a log with one line per session: phase, site, host, kind, from, to.
"""
import json, os, signal, subprocess, threading, time
from places import SITES, HOSTS
from network import sh, inside
import attacks, sessions

GAP = 0.35  # seconds after a session, so that its last packets still belong to it


def start_capture(site, folder, phase):
    running = []
    for lan in SITES[site]["lans"]:
        path = f"{folder}/{phase}-{site}-{lan}.pcap"
        running.append(subprocess.Popen(
            ["ip", "netns", "exec", SITES[site]["gw_ns"], "tcpdump", "-q", "-n", "-U", "-Z", "root",
             "-i", f"br-{lan}", "-s", "128", "-B", "8192", "-w", path],
            stdout=subprocess.DEVNULL, stderr=open(path + ".log", "w")))
    return running


def lease_script(folder, site):
    path = f"{folder}/lease-{site}"
    with open(path, "w") as out:
        out.write("#!/bin/sh\n# Takes the lease that the home's DHCP server gave.\n"
                  'case "$1" in bound|renew)\n'
                  ' ip addr replace $ip/$mask dev $interface\n'
                  ' [ -n "$router" ] && ip route replace default via $router;;\nesac\n')
    os.chmod(path, 0o755)


def run_one(ns, command, limit):
    child = subprocess.Popen(["ip", "netns", "exec", ns, "sh", "-c", command],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        return child.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return "stopped"


def work_of_host(host, work, log, lock):
    for kind, command in work:
        sh(f"ip netns exec {host.ns} ip neigh flush dev eth0", check=False)
        begin = time.time()
        code = run_one(host.ns, command, 75)
        time.sleep(GAP)
        with lock:
            log.append(dict(phase="benign", site=host.site, host=host.name, kind=kind,
                            begin=begin, end=time.time(), code=code))


def first_leases(folder, site):
    """Router advertisements, address checks and first leases, captured as sessions too."""
    lease_script(folder, site)
    for h in HOSTS[site]:
        inside(h.ns, f"busybox udhcpc -f -n -q -t 8 -i eth0 -x hostname:{h.name} -s {folder}/lease-{site}")


def record(folder, seed, small=False, parts=("benign", "attacks")):
    log, lock = [], threading.Lock()
    for site in SITES:
        first_leases(folder, site)
    time.sleep(2)
    if "benign" in parts:
        captures = [c for site in SITES for c in start_capture(site, folder, "benign")]
        time.sleep(1.5)
        threads = [threading.Thread(target=work_of_host, args=(h, work, log, lock))
                   for site in SITES for h, work in sessions.plan(site, seed, folder, small).items()]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        stop(captures)
    if "attacks" in parts:
        captures = [c for site in SITES for c in start_capture(site, folder, "attacks")]
        time.sleep(1.5)
        threads = [threading.Thread(target=attacks_of_site, args=(site, folder, log, lock))
                   for site in SITES]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        stop(captures)
    name = "sessions-" + "-".join(parts) + ".json"
    with open(f"{folder}/{name}", "w") as out:
        json.dump(sorted(log, key=lambda s: (s["site"], s["begin"])), out, indent=0)
    bad = sum(1 for s in log if s["code"] not in (0,))
    print(f"recorded {len(log)} sessions, {bad} exited with an error code (expected for some)")


def attacks_of_site(site, folder, log, lock):
    for attack in attacks.plan(site, folder):
        h = attack["host"]
        begin = time.time()
        code = run_one(h.ns, attack["command"], attack.get("limit", 120))
        time.sleep(attack.get("after", 2.0))
        with lock:
            log.append(dict(phase="attacks", site=site, host=h.name, kind=attack["kind"],
                            name=attack["name"], rows=attack["rows"], begin=begin,
                            end=time.time(), code=code))


def stop(captures):
    time.sleep(1.5)
    for c in captures:
        c.send_signal(signal.SIGINT)
    for c in captures:
        c.wait()
