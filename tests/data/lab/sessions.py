"""The benign sessions that each device runs while its site is recorded.

Returns, per host, a shuffled list of (kind, shell command).
Every kind has an even number of variants: half go to the first benign day,
half to the second day and to the background of the attacks.
"""
import random
from places import MQTT_USER, MQTT_PASSWORD, HOSTS, NAMES, NAMES6
from network import HERE
import sys

TALK = f"{sys.executable} {HERE}/device_talk.py"
WEB = ["www.news.example", "cdn.news.example", "www.shop.example", "img.shop.example",
       "search.example", "social.example", "api.social.example", "mail.example"]
SERVICES = {"phone": "_companion._tcp.local", "tablet": "_companion._tcp.local",
            "tv": "_cast._tcp.local", "speaker": "_raop._tcp.local", "printer": "_ipp._tcp.local",
            "nas": "_smb._tcp.local", "laptop": "_smb._tcp.local", "pc": "_ipp._tcp.local"}


def pause(dice, low=0.1, high=0.8):
    return f"sleep {dice.uniform(low, high):.2f}"


def curl(urls, more=""):
    return f"curl -sk -m 25 -o /dev/null {more} " + " -o /dev/null ".join(urls)


def browse(dice, pages):
    parts = []
    for _ in range(pages):
        for name in dice.sample(WEB, dice.randint(1, 3)):
            scheme = "http" if dice.random() < 0.15 else "https"
            objects = [f"{scheme}://{name}/o{dice.randrange(40)}" for _ in range(dice.randint(1, 4))]
            six = "-4" if name not in NAMES6 or dice.random() < 0.5 else "-6"
            parts.append(curl(objects, six) + (" &" if dice.random() < 0.4 else ";"))
        parts.append("wait; " + pause(dice, 0.2, 1.0) + ";")
    return " ".join(parts)


def mqtt(dice, server, port, count, gap, topic, size, tls, folder, lines=True):
    login = f"-u {MQTT_USER} -P {MQTT_PASSWORD} -h {server} -p {port} -t {topic} -q 1"
    if tls:
        login += f" --cafile {folder}/tls.crt --insecure"
    text = "".join(dice.choice("0123456789abcdef") for _ in range(size))
    if not lines:
        return f"mosquitto_pub {login} -m '{text}'"
    return (f"(for i in $(seq {count}); do echo '{text}'$i; sleep {gap}; done) | "
            f"mosquitto_pub {login} -k 60 -i dev{dice.randrange(9999)} -l")


def ssh(dice, server, folder, steps):
    inner = "; ".join(f"{dice.choice(['ls -la /usr/bin | head -%d' % dice.randint(5, 120), 'uptime', 'ps ax | head -%d' % dice.randint(5, 30), 'date'])}; "
                      f"sleep {dice.uniform(0.1, 0.9):.2f}" for _ in range(steps))
    return f"ssh -q -i {folder}/user_key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@{server} '{inner}'"


def scp(dice, server, folder, name, up=False):
    far = f"root@{server}:{folder}/web/" + ("up/s%d" % dice.randrange(999) if up else name)
    ends = f"{folder}/web/{name} {far}" if up else f"{far} /dev/null"
    return f"scp -q -i {folder}/user_key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null {ends}"


def common(dice, host, folder, out):
    """Sessions of every device: time, lease, names, neighbours."""
    clock = "time.example" if dice.random() < 0.5 else "192.0.2.124"
    out += [("ntp", f"ntpdig -t 2 {clock if i % 2 else '192.0.2.123'}") for i in range(6)]
    out += [("dhcp", f"busybox udhcpc -f -n -q -i eth0 -x hostname:{host.name} -s {folder}/lease-{host.site}")
            for _ in range(2)]
    out += [("name", f"dig +tries=1 +time=2 {dice.choice(list(NAMES))} {dice.choice(['A', 'A', 'AAAA', 'TXT', 'HTTPS'])}")
            for _ in range(8)]
    out += [("name-outside", f"dig +tries=1 +time=2 @192.0.2.53 {dice.choice(list(NAMES))}") for _ in range(4)]
    out += [("name-failed", f"dig +tries=1 +time=2 {bad}") for bad in dice.sample(
        ["wpad.home.example", "wwww.news.example", "tracker.oldapp.example", "local.lan",
         "printer.example", "isatap.home.example", "old-cloud.example"], 4)]
    out += [("ping-gateway", f"ping -c {dice.randint(1, 4)} -i 0.3 {gateway_of(host)}") for _ in range(2)]
    out += [("neighbours", "ip -6 neigh flush dev eth0; ping -6 -c 1 -W 1 -I eth0 ff02::1; "
             "ip -6 route get 2001:db8:100::1; ping -6 -c 1 -W 1 " + NAMES6["search.example"])
            for _ in range(2)]
    if host.name in SERVICES:
        out += [("mdns", f"{TALK} mdns {host.name} {SERVICES[host.name]}") for _ in range(4)]


def gateway_of(host):
    from places import SITES
    return SITES[host.site]["lans"][host.lan]["gw"]


def person(dice, host, folder, out, n):
    out += [("browse", browse(dice, dice.randint(1, 4))) for _ in range(n)]
    out += [("check-mail", curl([f"https://mail.example/o{dice.randrange(40)}"])) for _ in range(4)]
    out += [("api-call", curl([f"https://api.social.example/api?{dice.randrange(99)}"])) for _ in range(6)]
    out += [("refused", f"curl -s -m 3 http://{dice.choice(['weather.example', 'files.example'])}:8080/") for _ in range(2)]
    out += [("no-answer", f"curl -s -m 4 http://198.51.100.{dice.randint(200, 250)}/") for _ in range(2)]
    out += [("ping-outside", f"ping -c {dice.randint(2, 6)} -i 0.4 {dice.choice(list(NAMES))}") for _ in range(2)]


def pushes(dice, out, server):
    out += [("push-line", f"{TALK} push {server} {dice.randint(24, 34)} 0.9") for _ in range(4)]
    out += [("quiet-line", f"{TALK} keepalive {server} {dice.randint(16, 22)}") for _ in range(2)]


def device(dice, host, folder):
    out, name = [], host.name
    common(dice, host, folder, out)
    nas = "192.168.1.60"
    if name in ("laptop", "pc"):
        person(dice, host, folder, out, 16)
        pushes(dice, out, "203.0.113.41")
        servers = ["shell.example"] + ([nas] if name == "laptop" else [])
        out += [("ssh", ssh(dice, s, folder, dice.randint(2, 7))) for s in servers for _ in range(4)]
        out += [("scp-down", scp(dice, s, folder, dice.choice(["seg3", "big1"]))) for s in servers for _ in range(2)]
        out += [("scp-up", scp(dice, s, folder, dice.choice(["seg2", "seg3"]), True)) for s in servers for _ in range(2)]
        out += [("download", curl([f"https://files.example/big{i % 3 + 1}"])) for i in range(4)]
        out += [("upload", curl([f"https://files.example/up/{dice.randrange(999)}"], f"-T {folder}/web/{f}"))
                for f in ("seg1", "seg3", "o3", "o4")]
        local = nas if name == "laptop" else "10.20.0.60"
        out += [("local-web", curl([f"http://{local}/o{dice.randrange(40)}" for _ in range(dice.randint(1, 4))])) for _ in range(4)]
        out += [("call", f"{TALK} media 203.0.113.40 {dice.randint(6, 10)} 25") for _ in range(2)]
    if name in ("phone", "tablet"):
        person(dice, host, folder, out, 12)
        pushes(dice, out, "203.0.113.50")
        out += [("app-sync", curl([f"https://push.phone.example/o{dice.randrange(40)}", "https://push.phone.example/api"])) for _ in range(4)]
    if name == "tv":
        out += [("stream", " ".join(curl([f"https://edge1.video.example/seg{dice.randint(1, 3)}"]) + "; " + pause(dice, 0.8, 2.0) + ";"
                                    for _ in range(dice.randint(2, 4)))) for _ in range(4)]
        out += [("video-udp", f"{TALK} media 203.0.113.31 {dice.randint(8, 12)} 30") for _ in range(4)]
        out += [("ssdp", f"{TALK} ssdp") for _ in range(4)]
        out += [("menu", curl([f"https://video.example/o{dice.randrange(40)}", "https://video.example/api"])) for _ in range(6)]
        out += [("local-web", curl([f"http://{nas}/o{dice.randrange(40)}"])) for _ in range(2)]
    if name == "speaker":
        out += [("music", " ".join(curl([f"https://music.example/{dice.choice(['seg1', 'o7', 'o9', 'seg2'])}"]) + "; " + pause(dice, 0.5, 1.5) + ";"
                                   for _ in range(dice.randint(2, 4)))) for _ in range(6)]
        out += [("ssdp", f"{TALK} ssdp") for _ in range(4)]
        pushes(dice, out, "203.0.113.60")
    if name in ("camera", "recorder"):
        out += [("heartbeat", f"{TALK} heartbeat 198.51.100.60 9999 40 1") for _ in range(8)]
        out += [("clip", curl(["https://camera-cloud.example/up/c%d" % dice.randrange(999)], f"-T {folder}/web/{f}"))
                for f in ("seg1", "seg2", "o1", "o2", "seg1", "o8")]
        out += [("status", mqtt(dice, "mqtt.iot.example", 8883, 1, 0, "cam/s", 40, True, folder, False)) for _ in range(6)]
    if name in ("plug", "lock"):
        tls = name == "lock"
        out += [("telemetry-line", mqtt(dice, "mqtt.iot.example", 8883 if tls else 1883, dice.randint(50, 60), 0.7,
                                        name + "/state", 24 if tls else 36, tls, folder)) for _ in range(4)]
        out += [("heartbeat", f"{TALK} heartbeat 198.51.100.70 7000 16 1") for _ in range(4)]
    if name == "thermostat":
        out += [("telemetry", mqtt(dice, "thermo.iot.example", 8883, 1, 0, "t/temp", dice.randint(30, 60), True, folder, False)) for _ in range(8)]
        out += [("local-telemetry", mqtt(dice, nas, 1883, 1, 0, "home/temp", dice.randint(10, 20), False, folder, False)) for _ in range(8)]
        out += [("weather", curl(["http://weather.example/api"])) for _ in range(4)]
        out += [("refused", "curl -s -m 3 http://thermo.iot.example:8081/")] * 2
    if name == "meter":
        out += [("heartbeat", f"{TALK} heartbeat 198.51.100.72 5683 28 1") for _ in range(8)]
        out += [("reading", f"{TALK} heartbeat 198.51.100.72 5683 90 3") for _ in range(4)]
        out += [("telemetry", mqtt(dice, "meter.iot.example", 1883, 1, 0, "m/kwh", dice.randint(20, 40), False, folder, False)) for _ in range(6)]
    if name in ("nas", "printer"):
        out += [("update-check", curl(["https://updates.example/tiny", "https://updates.example/o5"], f"-{dice.choice('46')}")) for _ in range(4)]
    if name == "printer":
        out += [("ssdp", f"{TALK} ssdp") for _ in range(4)]
    if name == "nas":
        out += [("backup", scp(dice, "backup.example", folder, f, True)) for f in ("big1", "big2")]
        out += [("status", curl(["https://backup.example/api"])) for _ in range(4)]
    dice.shuffle(out)
    return out


def plan(site, seed, folder, small=False):
    dice = random.Random(f"{seed}-{site}")
    result = {}
    for h in HOSTS[site]:
        work = device(dice, h, folder)
        if small:
            seen, work2 = {}, []
            for kind, command in work:
                seen[kind] = seen.get(kind, 0) + 1
                if seen[kind] <= 2:
                    work2.append((kind, command))
            work = work2
        result[h] = work
    return result
