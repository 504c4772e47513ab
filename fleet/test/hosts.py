"""Three hosts on one machine: each a real systemd in namespaces of its own, with its own address and its own sshd.

The caller's network namespace is the controller's: run it under `unshare --net`. Everything ends with the process,
also when it is killed, because the scripts that boot wait for a lock that dies with it.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
NETWORK = "10.77.0"

SHOP_UNIT = """\
[Unit]
Description=The shop, instance %i
[Service]
WorkingDirectory=/srv/shop/current
ExecStart=/srv/shop/current/serve 800%i
Restart=no
"""

SSHD_UNIT = """\
[Unit]
Description=sshd of a host of the fleet
[Service]
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -e -f {directory}/sshd_config
"""

SSHD_CONFIG = """\
ListenAddress {address}
HostKey {directory}/host_key
AuthorizedKeysFile {authorized}
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
StrictModes no
MaxStartups 50
Subsystem sftp internal-sftp
PidFile none
"""


def until(what: str, is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for something, and fails with its name when it does not come."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for this: {what}")
        time.sleep(0.02)


def output(*line: str | Path) -> str:
    """What a command prints; it must succeed."""
    return subprocess.run([str(word) for word in line], check=True, capture_output=True, text=True).stdout


class Host:
    """One host."""

    def __init__(self, number: int, directory: Path, authorized: Path) -> None:
        self.number = number
        self.name = f"h{number}"
        self.address = f"{NETWORK}.{number}"
        self.directory = directory / self.name
        (self.directory / "units").mkdir(parents=True)
        (self.directory / "units/shop@.service").write_text(SHOP_UNIT)
        (self.directory / "units/sshd-fleet.service").write_text(SSHD_UNIT.format(directory=self.directory))
        output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / "host_key")
        (self.directory / "sshd_config").write_text(
            SSHD_CONFIG.format(address=self.address, directory=self.directory, authorized=authorized)
        )
        self.boot: subprocess.Popen[bytes] | None = None

    def start(self, alive: Path) -> None:
        """Begins to boot."""
        environment = dict(
            os.environ,
            NAME=f"cutover-fleet-{os.getpid()}-{self.number}",
            ALIVE=str(alive),
            BIND=str(self.directory.parent),
        )
        with open(self.directory / "console", "wb") as console, open(self.directory / "boot", "wb") as log:
            self.boot = subprocess.Popen(
                ["bash", TOP / "tests/real/systemd", self.directory],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=log,
            )

    def connect(self) -> None:
        """Waits for the boot, gives the host its address, and starts its sshd."""
        until(f"{self.name} is up", self.is_up)
        self.leader = (self.directory / "pid").read_text().strip()
        here, there = f"v{self.number}", f"p{self.number}"
        output("ip", "link", "add", here, "type", "veth", "peer", "name", there)
        output("ip", "link", "set", there, "netns", self.leader)
        output("ip", "link", "set", here, "master", "br0", "up")
        self.run("hostname", self.name)
        # Of the machine below, not of a host; the tools come by the role that is tried.
        for name in os.listdir("/usr/local/bin"):
            if name.startswith(("release-", "svc-")):
                self.run("rm", f"/usr/local/bin/{name}")
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", there)
        self.run("ip", "link", "set", there, "up")
        self.run("systemctl", "start", "sshd-fleet")

    def is_up(self) -> bool:
        """Whether the boot came to its end; it must not have died."""
        if self.boot is None or self.boot.poll() is not None:
            raise RuntimeError(f"{self.name} did not boot: {(self.directory / 'boot').read_text()}")
        return (self.directory / "pid").exists()

    def run(self, *line: str, check: bool = True) -> str:
        """Runs a command on the host, not by way of its sshd, and gives back what it prints."""
        enter = ["nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        done = subprocess.run([*enter, *line], capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{self.name}: {line} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def link(self, is_up: bool) -> None:
        """Takes the host off the network, or back on it."""
        output("ip", "link", "set", f"v{self.number}", "up" if is_up else "down")

    def traffic(self) -> int:
        """The bytes that have passed its network card, both ways."""
        (card,) = json.loads(output("ip", "-s", "-j", "link", "show", f"v{self.number}"))
        return int(card["stats64"]["rx"]["bytes"]) + int(card["stats64"]["tx"]["bytes"])

    def live(self) -> str:
        """The release that the link names; empty where there is none."""
        return self.run("sh", "-c", "readlink /srv/shop/current || :").strip().rpartition("/")[2]

    def processes(self) -> str:
        """The processes of the shop."""
        return self.run("systemctl", "show", "--property=MainPID", "--value", "shop@1", "shop@2").strip()

    def state(self) -> str:
        """Everything in the root with its content and times, and the processes: equal means untouched."""
        listing = (
            "cd /srv/shop 2>/dev/null || exit 0; find . -printf '%p %m %T@ %i %l\\n' | sort; "
            "find . -type f -exec sha256sum {} + | sort"
        )
        return self.run("sh", "-c", listing) + self.processes()


class Fleet:
    """The three hosts, and the controller's files: keys, inventory, configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.alive = open(directory / "alive", "w", encoding="utf-8")
        fcntl.flock(self.alive, fcntl.LOCK_EX)
        output("ip", "link", "set", "lo", "up")
        output("ip", "link", "add", "br0", "type", "bridge")
        output("ip", "addr", "add", f"{NETWORK}.254/24", "dev", "br0")
        output("ip", "link", "set", "br0", "up")
        output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "key")
        shutil.copy(directory / "key.pub", directory / "authorized_keys")
        self.hosts = [Host(number, directory, directory / "authorized_keys") for number in (1, 2, 3)]
        for host in self.hosts:
            host.start(directory / "alive")
        for host in self.hosts:
            host.connect()
        self.write_configuration()
        for host in self.hosts:
            until(f"sshd of {host.name} answers", functools.partial(self.succeeds, self.ssh(host.name, "true")))

    def write_configuration(self) -> None:
        """Files for ssh and Ansible."""
        known = [f"{host.address} {(host.directory / 'host_key.pub').read_text()}" for host in self.hosts]
        (self.directory / "known_hosts").write_text("".join(known))
        blocks = [f"Host {host.name} web{host.number}\n  HostName {host.address}\n" for host in self.hosts]
        (self.directory / "ssh_config").write_text(
            "".join(blocks)
            + f"Host *\n  User root\n  IdentityFile {self.directory}/key\n  IdentitiesOnly yes\n"
            + f"  UserKnownHostsFile {self.directory}/known_hosts\n  StrictHostKeyChecking yes\n"
            + "  BatchMode yes\n  ConnectTimeout 3\n  ServerAliveInterval 1\n  ServerAliveCountMax 3\n"
        )
        (self.directory / "hosts").write_text(
            "[shop]\n"
            + "".join(f"{host.name}\n" for host in self.hosts)
            + "[shop:vars]\nansible_python_interpreter=/usr/bin/python3\n"
        )
        (self.directory / "ansible.cfg").write_text(
            f"[defaults]\ninventory={self.directory}/hosts\ncollections_path={self.directory}/collections\n"
            f"local_tmp={self.directory}/local\nremote_tmp={self.directory}-tmp\nretry_files_enabled=false\nforks=10\nnocolor=true\n"
            # Also over what ssh_config says of a host that does not answer.
            "timeout=3\n"
            "[connection]\npipelining=true\n[ssh_connection]\n"
            f"ssh_args=-F {self.directory}/ssh_config -C -o ControlMaster=auto -o ControlPersist=60\n"
            f"control_path_dir={self.directory}/c\n"
        )
        place = self.directory / "collections/ansible_collections/cutover"
        place.mkdir(parents=True)
        (place / "deploy").symlink_to(TOP / "fleet/ansible")

    def ssh(self, host: str, *line: str) -> list[str]:
        """The command line that runs something on a host by way of its sshd."""
        return ["ssh", "-F", str(self.directory / "ssh_config"), host, *line]

    @staticmethod
    def succeeds(line: Sequence[str]) -> bool:
        """Whether a command does."""
        return subprocess.run(line, capture_output=True, check=False).returncode == 0

    def end(self) -> None:
        """Ends the hosts."""
        for host in self.hosts:
            if host.boot is not None:
                host.boot.terminate()
        for host in self.hosts:
            if host.boot is not None:
                host.boot.wait()
