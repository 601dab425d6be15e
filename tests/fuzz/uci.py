#!/usr/bin/env python3
"""Hostile values of /etc/config/lapwing -> uci-to-toml, which prints TOML with exactly these values, or rejects one of them
by name and prints no value.

  tests/fuzz/uci.py [SECONDS [SEED]]    default: 15 seconds, a random seed
  tests/fuzz/uci.py FILE                runs one input again

Runs the inputs of corpus/uci first, then random ones, under dash and busybox's shell if they are installed. An input is JSON:
option -> text, or list of texts. One that fails is written to the temporary folder. Only the values are hostile: the
syntax of the file is the business of OpenWrt's own parser, for which tests/packaging/functions.sh is a stub."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRIPT = ROOT / "firmware-configs/openwrt/lapwing/files/uci-to-toml"
# Option -> place in the TOML.
TEXTS = {
    "engine": "detector.engine", "release": "detector.release", "broker": "mqtt.url", "agent": "mqtt.agent",
    "site": "mqtt.group", "ca_file": "mqtt.ca-file", "token": "mqtt.token", "addresses": "privacy.addresses",
    "address_key": "privacy.key-file", "state_dir": "update.state-dir",
    "version_dir": "update.version-dir", "update_channel": "update.channel", "update_assignment": "update.assignment", "memory": "resources.memory",
}
NUMBERS = {"alerts_per_day": "detector.alerts-per-day", "update_pin": "update.pin"}
BOOLEANS = {"update_hold": "update.hold"}
TRUE = ["1", "on", "true", "yes", "enabled"]
LISTS = {
    "interface": "capture.interfaces", "key": "update.keys", "rollout_key": "update.rollout-keys", "more_brokers": "mqtt.urls",
}
PACKAGED_KEY = "/usr/share/lapwing/release.pub"
# Pieces of values: what is special to a shell, sed, TOML or a terminal.
PIECES = [
    "", "br-lan", "mqtts://u:p@192.0.2.1", "0.5", "1", "12MiB", '"', "'", "\\", "\\\\", '\\"', "\n", "\r", "\t", "\x1b[2J", "\x7f",
    "$(touch bad)", "`touch bad`", "$HOME", "${1}", "; touch bad", "| touch bad", "&", "&&", "*", "?", "[a]", "~", "#", " ", "  ",
    "-n", "-e", "--", "%s", "%n", "\\n", "\\u0041", "]", "[response]\nmode = \"block\"", "\"]\nuser = \"root", "0x10", "1e5", "-1",
    "1.", ".5", "1.2.3", "01", "00.5", "0", "inf", "nan", "\u00fc", "\u20ac", "\U0001f600", "\u0085", "\u2028", "\ufeff", "x" * 5000,
    "=", "\"\"\"", "'''", "@", "s/x/y/", "/d",
]


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def uci(values):
    lines = []
    for option, value in values.items():
        items = value if isinstance(value, list) else [value]
        lines += [f"{'list' if isinstance(value, list) else 'option'} {option} {quoted(item)}" for item in items]
    return "\n".join(lines) + "\n"


def random_text(rng):
    if rng.random() < 0.2:
        return "".join(chr(rng.choice([rng.randrange(1, 128), rng.randrange(1, 0xD800)])) for _ in range(rng.randrange(1, 12)))
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 4)))


def random_values(rng, corpus):
    values = dict(rng.choice(corpus)) if rng.random() < 0.5 else {}
    for _ in range(rng.randrange(1, 4)):
        option = rng.choice([*TEXTS, *NUMBERS, *BOOLEANS, *LISTS])
        values[option] = [random_text(rng) for _ in range(rng.randrange(4))] if option in LISTS else random_text(rng)
    return values


def expected(values):
    """Place in the TOML -> value; empty options are left out."""
    found = {TEXTS[option]: value for option, value in values.items() if option in TEXTS and value}
    found |= {NUMBERS[option]: float(value) for option, value in values.items() if option in NUMBERS and value}
    found |= {BOOLEANS[option]: value in TRUE for option, value in values.items() if option in BOOLEANS and value}
    keys = [PACKAGED_KEY] if values.get("release") else []
    found["capture.interfaces"] = values.get("interface", [])
    found["mqtt.urls"] = values.get("more_brokers", [])
    found["update.keys"] = keys + values.get("key", [])
    found["update.rollout-keys"] = values.get("rollout_key", [])
    found.setdefault("update.version-dir", "/etc/lapwing/versions")
    found["status.socket"] = "/var/run/lapwing/agent.sock"
    return found


def flat(document):
    return {f"{table}.{key}": value for table, content in document.items() for key, value in content.items()}


def rejected(message):
    """The option that an error names; no text of the input may follow."""
    lines = message.splitlines()
    is_clean = len(lines) == 1 and lines[0].startswith("lapwing.main.") and ": expected " in lines[0] and lines[0].isascii()
    assert is_clean, f"not a clean error: {message!r}"
    return lines[0].removeprefix("lapwing.main.").split(":")[0]


def is_refusable(value):
    """Whether a value may be rejected: control characters in a text."""
    texts = value if isinstance(value, list) else [value]
    return any(ord(c) < 32 or ord(c) == 127 for text in texts for c in text)


def check(values, shell, folder):
    """Runs the script; returns whether it accepted the input."""
    (folder / "uci").write_text(uci(values), newline="")
    environment = {"PATH": os.environ["PATH"], "UCI_FILE": str(folder / "uci"), "LAPWING_PASSWD": "/dev/null"}
    environment["LAPWING_FUNCTIONS"] = str(ROOT / "tests/packaging/functions.sh")
    run = subprocess.run([*shell, str(SCRIPT)], cwd=folder, env=environment, capture_output=True, timeout=60)
    assert not (folder / "bad").exists(), "a value was run as a command"
    assert {entry.name for entry in folder.iterdir()} == {"uci"}, "the script wrote a file"
    if run.returncode == 0:
        assert run.stderr == b"", f"a message in spite of success: {run.stderr!r}"
        found = flat(tomllib.loads(run.stdout.decode()))
        assert found == expected(values), f"found {found}, expected {expected(values)}"
        return True
    assert run.returncode == 1, f"exit code {run.returncode}: {run.stderr!r}"
    option = rejected(run.stderr.decode())
    assert option in values, f"rejected {option}, which is not set"
    assert option in NUMBERS or option in BOOLEANS or is_refusable(values[option]), f"{option} was rejected without a reason: {values[option]!r}"
    return False


def shells():
    found = [[name] for name in ["dash"] if shutil.which(name)]
    found += [["busybox", "ash"]] if shutil.which("busybox") else []
    return found or [["sh"]]


def checked(values, folder, seed):
    """Whether each shell accepts the input; both must agree. Ends the program at a failure."""
    try:
        accepted = {check(values, shell, folder) for shell in shells()}
        assert len(accepted) == 1, "the shells disagree"
        return accepted.pop()
    except Exception as error:
        path = pathlib.Path(tempfile.gettempdir()) / f"lapwing-fuzz-{seed}.json"
        path.write_text(json.dumps(values))
        sys.exit(f"fuzz: uci, seed {seed}: {error}; input written to {path}")


def main():
    argument = sys.argv[1] if len(sys.argv) > 1 else "15"
    corpus = [json.loads(path.read_text()) for path in sorted((HERE / "corpus/uci").iterdir())]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if not argument.isdigit():
            print("accepted" if checked(json.loads(pathlib.Path(argument).read_text()), folder, 0) else "rejected")
            return
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
        rng = random.Random(seed)
        results = [checked(values, folder, seed) for values in corpus]
        end = time.monotonic() + int(argument)
        while time.monotonic() < end:
            results.append(checked(random_values(rng, corpus), folder, seed))
    accepted = sum(results)
    print(f"fuzz: uci ran {len(results)} inputs in {argument} s, {accepted} accepted, seed {seed}")
    if accepted in (0, len(results)):
        sys.exit("fuzz: uci: expected both accepted and rejected inputs")


main()
