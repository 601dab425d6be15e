"""A home's access line in user space: connects two TAP devices with delay and a rate limit.

Runs in the gateway's namespace.
Creates both TAP devices there; `network` moves the far one to the internet namespace.
The delay depends on the destination network, so that servers differ in distance.
usage: wan_delay.py NEAR FAR
"""
import fcntl, heapq, os, select, struct, sys, time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
DELAY = {b"\xc0\x00\x02": 0.004, b"\xc6\x33\x64": 0.011, b"\xcb\x00\x71": 0.032}  # one way, seconds
RATE = {"down": 40e6 / 8, "up": 15e6 / 8}  # bytes per second
QUEUE_LIMIT = 0.12  # seconds of queue before tail drop


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def delay_of(frame, towards):
    kind = frame[12:14]
    if kind == b"\x08\x00":
        far = frame[30:33] if towards == "up" else frame[26:29]
        host = frame[33] if towards == "up" else frame[29]
        return DELAY.get(far, 0.02) + (host % 7) * 0.0007
    if kind == b"\x86\xdd":
        return 0.013
    return 0.0005


def main():
    near, far = open_tap(sys.argv[1]), open_tap(sys.argv[2])
    other, way = {near: far, far: near}, {near: "up", far: "down"}
    free_at = {"up": 0.0, "down": 0.0}
    waiting, count = [], 0
    while True:
        pause = max(0, waiting[0][0] - time.monotonic()) if waiting else 1.0
        ready, _, _ = select.select([near, far], [], [], pause)
        now = time.monotonic()
        for fd in ready:
            for _ in range(64):
                try:
                    frame = os.read(fd, 2000)
                except (BlockingIOError, OSError):
                    break
                direction = way[fd]
                start = max(now, free_at[direction])
                if start - now > QUEUE_LIMIT:
                    continue  # queue full: a real tail drop
                free_at[direction] = start + len(frame) / RATE[direction]
                count += 1
                heapq.heappush(waiting, (free_at[direction] + delay_of(frame, direction), count,
                                         other[fd], frame))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, fd, frame = heapq.heappop(waiting)
            try:
                os.write(fd, frame)
            except OSError:
                pass


if __name__ == "__main__":
    main()
