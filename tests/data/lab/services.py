"""Starts the lab's real servers: names, leases, web, MQTT, time, SSH, telnet, sinks.

Each server runs inside one of the lab's namespaces and keeps its files in a scratch folder.
"""
import os, random, subprocess, sys
from places import (SITES, HOSTS, INTERNET, NAMES, NAMES6, DNS_OUTSIDE, TUNNEL_DOMAIN,
                    TUNNEL_SERVER, MQTT_USER, MQTT_PASSWORD, TELNET_OUTSIDE, host)
from network import sh, HERE

PY = sys.executable


def start(ns, command, log):
    return subprocess.Popen(f"exec ip netns exec {ns} {command}", shell=True,
                            stdin=subprocess.DEVNULL, stdout=open(log, "ab"),
                            stderr=subprocess.STDOUT)


def write(path, text):
    with open(path, "w") as out:
        out.write(text)
    return path


def prepare(folder, seed):
    """Keys, password files and web pages of many sizes."""
    dice = random.Random(seed)
    os.makedirs(f"{folder}/web/up", exist_ok=True)
    os.chmod(folder, 0o755)
    os.chmod(f"{folder}/web/up", 0o777)
    for i in range(40):
        size = int(min(160_000, dice.lognormvariate(9.0, 1.1)) + 300)
        with open(f"{folder}/web/o{i}", "wb") as out:
            out.write(dice.randbytes(size))
    for name, size in (("big1", 420_000), ("big2", 760_000), ("big3", 1_150_000),
                       ("seg1", 90_000), ("seg2", 140_000), ("seg3", 210_000), ("tiny", 180)):
        with open(f"{folder}/web/{name}", "wb") as out:
            out.write(dice.randbytes(size))
    write(f"{folder}/web/index.html", "<html><body>Lab page</body></html>\n")
    sh(f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {folder}/tls.key -out {folder}/tls.crt "
       f"-days 3650 -subj '/CN=*.example' && chmod 644 {folder}/tls.key")
    sh(f"yes | ssh-keygen -q -t ed25519 -N '' -f {folder}/host_key")
    sh(f"yes | ssh-keygen -q -t ed25519 -N '' -f {folder}/user_key")
    sh(f"mosquitto_passwd -c -b {folder}/mqtt.users {MQTT_USER} {MQTT_PASSWORD}; "
       f"chmod 644 {folder}/mqtt.users")
    os.makedirs("/run/sshd", exist_ok=True)


def names_and_leases(folder):
    lines = [f"--host-record={n},{ip}" + (f",{NAMES6[n]}" if n in NAMES6 else "")
             for n, ip in NAMES.items()]
    start(INTERNET, f"dnsmasq -k -C /dev/null --no-resolv --no-hosts --pid-file= --user=root "
          f"--bind-interfaces --listen-address={DNS_OUTSIDE} --local=/example/ "
          f"--txt-record=status.example,ok --cache-size=0 " + " ".join(lines), f"{folder}/dns.log")
    start(INTERNET, f"iodined -f -c -P tunnelpass -l {TUNNEL_SERVER} 100.64.99.1/24 {TUNNEL_DOMAIN}",
          f"{folder}/iodined.log")
    for site, place in SITES.items():
        options = ""
        for lan, part in place["lans"].items():
            first, last = part["range"].split(",")
            options += (f" --interface=br-{lan} --dhcp-range=set:{lan},{first},{last},12h"
                        f" --dhcp-range=::,constructor:br-{lan},ra-only,64 --ra-param=br-{lan},60,1800")
        for h in HOSTS[site]:
            options += f" --dhcp-host={h.mac},{h.ip},{h.name}"
        start(place["gw_ns"], f"dnsmasq -k -C /dev/null --no-resolv --no-hosts --pid-file= --user=root "
              f"--bind-dynamic --except-interface=wan0 --domain=home.example --enable-ra "
              f"--server={DNS_OUTSIDE} --server=/{TUNNEL_DOMAIN}/{TUNNEL_SERVER} --cache-size=0 "
              f"--dhcp-leasefile={folder}/leases-{site}{options}", f"{folder}/gw-{site}.log")


def web(ns, folder, tag, addresses=""):
    conf = write(f"{folder}/nginx-{tag}.conf", f"""
daemon off; user root; worker_processes 1; pid {folder}/nginx-{tag}.pid;
error_log {folder}/nginx-{tag}.err; events {{ worker_connections 900; }}
http {{ access_log off; client_max_body_size 0; keepalive_timeout 20s; server_tokens off;
 client_body_temp_path {folder}/nginx-{tag}-body; default_type application/octet-stream;
 server {{ listen 80; listen [::]:80; listen 443 ssl; listen [::]:443 ssl;
  listen 5228 ssl; ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key;
  root {folder}/web;
  location /up/ {{ dav_methods PUT; client_body_in_file_only clean; }}
  location /api {{ return 200 '{{"ok":true}}'; }} }} }}
""")
    os.makedirs(f"{folder}/nginx-{tag}-body", exist_ok=True)
    start(ns, f"nginx -c {conf}", f"{folder}/nginx-{tag}.log")


def mqtt(ns, folder, tag):
    conf = write(f"{folder}/mosquitto-{tag}.conf", f"""
user root
allow_anonymous false
password_file {folder}/mqtt.users
persistence false
listener 1883
listener 8883
certfile {folder}/tls.crt
keyfile {folder}/tls.key
""")
    start(ns, f"mosquitto -c {conf}", f"{folder}/mosquitto-{tag}.log")


def shell(ns, folder, tag):
    conf = write(f"{folder}/sshd-{tag}.conf", f"""
Port 22
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
UsePAM no
PasswordAuthentication yes
PermitRootLogin prohibit-password
MaxStartups 30
PidFile none
Subsystem sftp internal-sftp
""")
    start(ns, f"/usr/sbin/sshd -D -f {conf}", f"{folder}/sshd-{tag}.log")


def telnet(ns, folder, tag, password):
    start(ns, f"{PY} {HERE}/telnet_door.py {folder} {password}", f"{folder}/telnet-{tag}.log")


def start_all(folder, seed):
    prepare(folder, seed)
    names_and_leases(folder)
    web(INTERNET, folder, "outside")
    mqtt(INTERNET, folder, "outside")
    shell(INTERNET, folder, "outside")
    chrony = write(f"{folder}/chrony.conf", "local stratum 2\nallow\nport 123\ncmdport 0\n"
                   f"pidfile {folder}/chrony.pid\n")
    if os.path.exists(f"{folder}/chrony.pid"):
        os.remove(f"{folder}/chrony.pid")  # left by an earlier run
    start(INTERNET, f"chronyd -x -d -u root -f {chrony}", f"{folder}/chrony.log")  # -x: leaves the clock alone
    start(INTERNET, f"{PY} {HERE}/device_talk.py outside", f"{folder}/outside.log")
    for ip in TELNET_OUTSIDE:
        telnet(INTERNET, folder, "outside-" + ip, f"{'xc3511' if ip.endswith('7') else 'none'} {ip}")
    nas, printer = host("home-a", "nas"), host("home-b", "printer")
    for ns, tag in ((nas.ns, "nas"), (printer.ns, "printer")):
        web(ns, folder, tag)
    mqtt(nas.ns, folder, "nas")
    shell(nas.ns, folder, "nas")
    shell(host("home-b", "pc").ns, folder, "pc")
    telnet(host("home-b", "recorder").ns, folder, "recorder", "vizxv 0.0.0.0")
    telnet(host("home-a", "camera").ns, folder, "camera", "admin 0.0.0.0")
