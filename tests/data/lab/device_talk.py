"""Simulates device traffic without a Debian client: heartbeats, media streams, push connections, discovery.

usage: device_talk.py outside                 servers for all modes below
       device_talk.py heartbeat IP PORT SIZE COUNT
       device_talk.py media IP SECONDS RATE   asks IP for an RTP-like UDP stream
       device_talk.py push IP BEATS GAP       long idle TCP connection with application heartbeats
       device_talk.py keepalive IP SECONDS    long idle TCP connection with kernel keepalives
       device_talk.py mdns NAME SERVICE | ssdp
       device_talk.py beacon IP PORT COUNT GAP
"""
import os, random, socket, struct, sys, threading, time

HEART, MEDIA, PUSH = (5683, 9999, 7000), 5004, 5223


def datagram(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # Read each datagram's destination, because replies must come from that address.
    sock.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
    sock.bind(("0.0.0.0", port))
    return sock


def receive(sock):
    data, control, _, peer = sock.recvmsg(2048, 64)
    return data, [(a, b, c) for a, b, c in control], peer


def answer(sock, data, control, peer):
    info = control[0][2]
    spec = struct.pack("I4s4s", 0, info[4:8], b"\0" * 4)
    sock.sendmsg([data], [(socket.IPPROTO_IP, 8, spec)], 0, peer)


def heart_server(port):
    sock = datagram(port)
    while True:
        data, control, peer = receive(sock)
        answer(sock, b"\x60\x44" + data[2:4] + os.urandom(4), control, peer)


def media_server():
    sock = datagram(MEDIA)

    def stream(control, peer, seconds, rate):
        dice, number = random.Random(), random.randrange(60000)
        end, clock = time.monotonic() + seconds, random.randrange(1 << 31)
        while time.monotonic() < end:
            burst = 3 if number % 12 == 0 else 1  # key frames come in bursts
            for _ in range(burst):
                head = struct.pack("!BBHII", 0x80, 96, number & 0xffff, clock, 0x5eed)
                answer(sock, head + os.urandom(dice.randrange(500, 1300)), control, peer)
                number += 1
            clock += 3000
            time.sleep(max(0.002, dice.gauss(1 / rate, 0.1 / rate)))

    while True:
        data, control, peer = receive(sock)
        if data.startswith(b"PLAY"):
            _, seconds, rate = data.split()
            threading.Thread(target=stream, args=(control, peer, float(seconds), float(rate))).start()


def push_server():
    door = socket.create_server(("0.0.0.0", PUSH), backlog=64)

    def echo(line):
        with line:
            try:
                while data := line.recv(2048):
                    line.sendall(data[:40])
            except OSError:
                pass
    while True:
        line, _ = door.accept()
        threading.Thread(target=echo, args=(line,)).start()


def outside():
    for port in HEART:
        threading.Thread(target=heart_server, args=(port,)).start()
    threading.Thread(target=media_server).start()
    threading.Thread(target=push_server).start()


def heartbeat(ip, port, size, count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0.5)
    sock.connect((ip, int(port)))
    for _ in range(int(count)):
        sock.send(b"\x40\x02" + os.urandom(2) + os.urandom(max(4, int(size) + random.randrange(-3, 4))))
        try:
            sock.recv(500)
        except OSError:
            pass
        time.sleep(0.05)


def media(ip, seconds, rate):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((ip, MEDIA))
    sock.send(f"PLAY {seconds} {rate}".encode())
    sock.settimeout(1.0)
    last = time.monotonic()
    try:
        while True:
            sock.recv(2048)
            if time.monotonic() - last > 2:
                sock.send(b"\x81\xc9" + os.urandom(30))  # receiver report
                last = time.monotonic()
    except OSError:
        pass


def push(ip, beats, gap):
    with socket.create_connection((ip, PUSH)) as line:
        for _ in range(int(beats)):
            line.sendall(os.urandom(random.randrange(20, 90)))
            line.recv(500)
            time.sleep(float(gap))


def keepalive(ip, seconds):
    with socket.create_connection((ip, PUSH)) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        line.sendall(os.urandom(60))
        line.recv(500)
        time.sleep(float(seconds))


def multicast(group, port, data, source_port=0):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255 if port == 5353 else 4)
    sock.bind(("", source_port))
    sock.sendto(data, (group, port))


def dns_name(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"


def mdns(name, service):
    kind = dns_name(service)
    query = struct.pack("!6H", 0, 0, 1, 0, 0, 0) + kind + struct.pack("!HH", 12, 1)
    full = bytes([len(name)]) + name.encode() + b"\xc0\x0c"
    reply = struct.pack("!6H", 0, 0x8400, 0, 1, 0, 0) + kind + \
        struct.pack("!HHIH", 12, 1, 4500, len(full)) + full
    multicast("224.0.0.251", 5353, query, 5353)
    time.sleep(0.12)
    multicast("224.0.0.251", 5353, reply, 5353)
    time.sleep(1.0)
    multicast("224.0.0.251", 5353, query, 5353)


def ssdp():
    text = ("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n"
            "MX: 2\r\nST: urn:schemas-upnp-org:device:MediaServer:1\r\n\r\n").encode()
    for _ in range(2):
        multicast("239.255.255.250", 1900, text, 50000 + os.getpid() % 9000)
        time.sleep(0.3)


def beacon(ip, port, count, gap):
    for _ in range(int(count)):
        try:
            with socket.create_connection((ip, int(port)), 5) as line:
                line.sendall(b"GET /api/t HTTP/1.1\r\nHost: " + ip.encode() +
                             b"\r\nX-Id: 7f3a91\r\nConnection: close\r\n\r\n")
                while line.recv(2048):
                    pass
        except OSError:
            pass  # a dead control server; the beacon keeps calling
        time.sleep(float(gap) * random.uniform(0.9, 1.1))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
