"""HAProxy in front of the hosts, and clients that ask it all the time."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

from hosts import NETWORK, until

CONFIGURATION = """\
global
    stats socket {socket} level admin
    maxconn 500
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
listen web
    bind {network}.254:80
    option httpchk GET /healthz
    default-server check inter 100ms fall 1 rise 1
{servers}
"""


class Balancer:
    """HAProxy with two servers per host."""

    def __init__(self, directory: Path, names: list[str]) -> None:
        self.socket = directory / "balancer.sock"
        servers = [
            f"    server {name}-{i} {NETWORK}.{number}:800{i}" for number, name in enumerate(names, 1) for i in (1, 2)
        ]
        file = directory / "haproxy.cfg"
        file.write_text(CONFIGURATION.format(socket=self.socket, network=NETWORK, servers="\n".join(servers)))
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", file], stdout=subprocess.DEVNULL, stderr=(directory / "haproxy.log").open("wb")
        )
        until("HAProxy listens", self.socket.exists)
        os.environ["BALANCER"] = str(self.socket)

    def log(self) -> list[str]:
        """Which host was taken out or put in, in order, since the last time this was asked."""
        file = Path(f"{self.socket}.log")
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def end(self) -> None:
        """Ends HAProxy."""
        self.process.terminate()
        self.process.wait()


class Clients:
    """Four clients, each with a new connection for every request, until the block ends."""

    def __enter__(self) -> Clients:
        self.sent = 0
        self.failures: list[str] = []
        self.is_over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.ask) for _ in range(4)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def ask(self) -> None:
        """Asks until it is over."""
        while not self.is_over.wait(0.02):
            answer = request()
            with self.lock:
                self.sent += 1
                if not answer.startswith("HTTP/1.0 200") and not answer.startswith("HTTP/1.1 200"):
                    self.failures.append(answer.partition("\r")[0] or "no answer")


def request() -> str:
    """One request to the balancer, and its whole answer."""
    try:
        with socket.create_connection((f"{NETWORK}.254", 80), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            parts = []
            while part := connection.recv(4096):
                parts.append(part)
            return b"".join(parts).decode(errors="replace")
    except OSError as error:
        return str(error)
