"""Listens on ports 23 and 2323 and passes each connection to the real telnetd.

This file is also telnetd's login program (mode "login"): it asks for a name and a password,
accepts `root` with the configured weak password, and then simulates a shell prompt.
usage: telnet_door.py FOLDER PASSWORD ADDRESS
"""
import os, signal, socket, subprocess, sys, threading

ME = os.path.abspath(__file__)


def login(password):
    for _ in range(3):
        name = input("login: ")
        given = input("Password: ")
        if name == "root" and given == password:
            print("BusyBox v1.19.4 built-in shell (ash)")
            while True:
                line = input("# ")
                if line.startswith("exit"):
                    return
                if "BUSYBOX" in line:
                    print("ECCHI: applet not found")
                elif line.startswith("cat /proc"):
                    print("rootfs / rootfs rw 0 0\n/dev/root / squashfs ro 0 0")
        print("Login incorrect")


def serve(folder, password, address, port):
    door = socket.create_server((address, port), backlog=16)
    script = os.path.join(folder, f"login-{password}")
    with open(script, "w") as out:
        out.write(f"#!/bin/sh\nexec {sys.executable} {ME} login {password}\n")
    os.chmod(script, 0o755)
    while True:
        caller, _ = door.accept()
        subprocess.Popen(["/usr/sbin/telnetd", "-h", "-E", script], stdin=caller, stdout=caller,
                         stderr=caller)
        caller.close()


if __name__ == "__main__":
    if sys.argv[1] == "login":
        try:
            login(sys.argv[2])
        except EOFError:
            pass
    else:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        threading.Thread(target=serve, args=(*sys.argv[1:4], 2323), daemon=True).start()
        serve(*sys.argv[1:4], 23)
