"""A folder -> a running trainer with its own broker and dashboard, and an agent that captures an interface: their memory,
status, counters, logs and stored alerts."""

import json
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

AGENT = "gateway"
INTERFACE = "vb"
RELEASE = Path("tests/edge/data/release-1.lwr").resolve()
KEY = Path("tests/edge/data/release.key").resolve()
# Limits low enough for the abuse to exceed all of them within minutes.
TRAINER_TOML = """
[store]
path = "{folder}/store.sqlite"
sample-mib = 16
alerts = 20000
updates = 2000
agents = 500
[broker]
listen = "127.0.0.1:0"
connections = 600
[http]
listen = "127.0.0.1:0"
"""
AGENT_TOML = """
[detector]
engine = "int8"
release = "{release}"
[update]
keys = ["{key}"]
state-dir = "{folder}/state"
[mqtt]
url = "mqtt://{broker}"
agent = "{agent}"
[capture]
interfaces = ["{interface}"]
ring = "256KiB"
[resources]
memory = "12MiB"
[status]
socket = "{folder}/agent.sock"
[response]
mode = "dry-run"
[output]
summary-json = "{folder}/summary.json"
"""
START_S = 30


class Pair:
    def __init__(self, programs: Path, folder: Path):
        self.programs, self.folder = programs, folder
        self.processes: list[subprocess.Popen] = []
        try:
            self.start_both()
        except BaseException:
            self.stop()
            raise

    def start_both(self) -> None:
        folder = self.folder
        (folder / "trainer.toml").write_text(TRAINER_TOML.format(folder=folder))
        files = ["--address-file", folder / "broker", "--http-address-file", folder / "dashboard"]
        self.trainer = self.start("trainer", ["serve", "--config", folder / "trainer.toml", *files])
        self.broker, self.dashboard = (self.address(self.trainer, name) for name in ("broker", "dashboard"))
        values = dict(folder=folder, release=RELEASE, key=KEY, agent=AGENT, interface=INTERFACE)
        (folder / "agent.toml").write_text(AGENT_TOML.format(broker="%s:%d" % self.broker, **values))
        self.agent = self.start("agent", ["run", "--config", folder / "agent.toml"])
        self.wait("the agent's status", lambda: self.status()["connection"] == "connected")

    def start(self, name: str, arguments: list) -> subprocess.Popen:
        with open(self.folder / f"{name}.log", "wb") as log:
            command = [self.programs / f"lapwing-{name}", *arguments]
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        return self.processes[-1]

    def wait(self, what: str, is_done, seconds: float = START_S) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if is_done():
                    return
            except (OSError, ValueError, KeyError, subprocess.CalledProcessError):
                pass
            time.sleep(0.2)
        raise SystemExit(f"abuse: no {what} within {seconds:.0f} s; logs: {self.folder}")

    def address(self, process: subprocess.Popen, name: str) -> tuple[str, int]:
        file = self.folder / name
        self.wait(f"address of the {name}", lambda: process.poll() is not None or file.read_text().strip())
        host, port = file.read_text().strip().rsplit(":", 1)
        return host, int(port)

    def output(self, program: str, *arguments) -> str:
        command = [self.programs / f"lapwing-{program}", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def status(self) -> dict:
        """The agent's status."""
        return json.loads(self.output("agent", "status", "--json", "--socket", self.folder / "agent.sock"))

    def counters(self) -> dict[str, int]:
        """The trainer's counters, from /metrics."""
        with urllib.request.urlopen("http://%s:%d/metrics" % self.dashboard, timeout=60) as answer:
            found = re.findall(r"^lapwing_trainer_(\w+)_total (\d+)$", answer.read().decode(), re.MULTILINE)
        return {name: int(value) for name, value in found}

    def alerts(self) -> list[dict]:
        """The alerts of the agent in the trainer's store, one for each episode."""
        store = ["--store", self.folder / "store.sqlite"]
        text = self.output("trainer", "alerts", "--agent", AGENT, "--limit", "100000", "--json", "-", *store)
        return json.loads(text)

    def memory_kib(self) -> dict[str, int]:
        """Resident memory of both."""
        found = {}
        for name, process in (("agent", self.agent), ("trainer", self.trainer)):
            text = Path(f"/proc/{process.pid}/status").read_text()
            line = re.search(r"^VmRSS:\s+(\d+) kB$", text, re.MULTILINE)
            found[name] = int(line[1]) if line else 0
        return found

    def pause_agent(self, seconds: float) -> None:
        """Stops the agent for a while, as on a gateway that is busy with something else."""
        self.agent.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.agent.send_signal(signal.SIGCONT)

    def is_running(self) -> bool:
        return self.agent.poll() is None and self.trainer.poll() is None

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self) -> list[int | None]:
        """Ends the agent, then the trainer; returns their exit codes."""
        codes = []
        for process in reversed(self.processes):
            process.terminate()
            try:
                codes.append(process.wait(60))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(None)
        return codes
