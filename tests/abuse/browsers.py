"""Dashboard and status socket, duration -> valid, invalid, slow and endless requests; counts of requests and answers."""

import asyncio
import logging
import time
from collections import Counter

ANSWER_S = 70
VALID = [
    "/", "/agents", "/alerts", "/releases", "/agents?state=online", "/alerts?state=open&limit=500", "/style.css",
    "/metrics", "/api/v1/agents?limit=500", "/api/v1/alerts?limit=500", "/api/v1/releases", "/api/v1/openapi.json",
]
# Path, method, host; each is answered with a status from 400 to 499.
INVALID = [
    ("/alerts?from=yesterday", "GET", "localhost"),
    ("/api/v1/agents?agnet=x", "GET", "localhost"),
    ("/alerts?limit=-1", "GET", "localhost"),
    ("/agents/" + "x" * 500, "GET", "localhost"),
    ("/../../etc/passwd", "GET", "localhost"),
    ("/alerts", "POST", "localhost"),
    ("/", "GET", "evil.example"),
]


def request(path: str, method: str = "GET", host: str = "localhost", more: str = "Connection: close\r\n") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{more}\r\n".encode()


class Abuse:
    """The attacks on one dashboard and one agent's status socket."""

    def __init__(self, host: str, port: int, seconds: float, socket: str):
        self.address, self.socket = (host, port), socket
        self.end = time.monotonic() + seconds
        self.counts = Counter()

    async def ask(self, data: bytes) -> int:
        """Sends bytes; returns the status of the first answer, 0 without one."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(data)
            async with asyncio.timeout(ANSWER_S):
                line = await reader.readline()
                await reader.read()
            return int(line.split()[1]) if line else 0
        finally:
            writer.transport.abort()

    async def valid(self) -> None:
        for path in VALID:
            self.counts[f"valid: {await self.ask(request(path))}"] += 1

    async def invalid(self) -> None:
        for path, method, host in INVALID:
            answer = await self.ask(request(path, method, host))
            self.counts["rejected" if 400 <= answer < 500 else f"invalid, but answered {answer}"] += 1

    async def garbage(self) -> None:
        """Requests that are no HTTP, or larger than the limit."""
        for data in [
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(200),
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100 + b"\r\n",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ]:
            await self.ask(data)
            self.counts["garbage"] += 1

    async def slow(self) -> None:
        """Half a request each, and requests whose answers are never read."""
        writers = []
        for number in range(60):
            _, writer = await asyncio.open_connection(*self.address)
            writers.append(writer)
            if number % 10 == 0:
                writer.transport.pause_reading()
                writer.write(request("/api/v1/openapi.json", more="") * 40)
            else:
                writer.write(b"GET / HTTP/1.1\r\nHost: loc")
        await asyncio.sleep(15)
        for writer in writers:
            writer.transport.abort()
        self.counts["slow connections"] += len(writers)

    async def status_socket(self) -> None:
        """Local clients of the agent that send nothing, too much, or something else."""
        for data in (b"", b"x" * 5000, b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe\n"):
            reader, writer = await asyncio.open_unix_connection(self.socket)
            writer.write(data)
            try:
                async with asyncio.timeout(ANSWER_S):
                    await reader.read()
            except ConnectionError:
                pass
            writer.transport.abort()
            self.counts["status clients"] += 1

    async def repeat(self, every: float, attack) -> None:
        while time.monotonic() < self.end:
            begun = time.monotonic()
            try:
                await attack()
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.counts[f"{attack.__name__}: ended by the server"] += 1
            await asyncio.sleep(max(0.01, every - (time.monotonic() - begun)))

    async def run(self) -> dict:
        attacks = [
            self.repeat(1, self.valid), self.repeat(1, self.invalid), self.repeat(1, self.garbage),
            self.repeat(1, self.slow), self.repeat(1, self.status_socket),
        ]
        tasks = [asyncio.create_task(attack) for attack in attacks]
        await asyncio.wait(tasks, timeout=self.end - time.monotonic() + ANSWER_S)
        for task in tasks:
            if task.done() and task.exception():
                self.counts[f"failed: {task.exception()!r}"] += 1
            task.cancel()
        return dict(self.counts)


def run(host: str, port: int, seconds: float, socket: str, results) -> None:
    """Runs in a process of its own; puts the counts into the queue."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # It warns of writes to closed connections.
    results.put(("http", asyncio.run(Abuse(host, port, seconds, socket).run())))
