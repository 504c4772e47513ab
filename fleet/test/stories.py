"""The stories of a fleet: three real hosts, real Ansible, real ssh. A line per story, and 1 as the end if any fails.

stories.py ANSIBLE TOOLS PACKAGES [STORY…]: the folder of ansible-playbook, the binaries, the tarball and the .deb.
Run under `unshare --net`; scripts/fleet-test does that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hosts import TOP, Fleet, Host, until
from traffic import Balancer, Clients

HERE = Path(__file__).resolve().parent
GATE = "svc-health http://127.0.0.1:800{i}/healthz --wait 4s --expect-release"
RESTART = {"via": "systemd", "instances": ["shop@1", "shop@2"], "gate": GATE}


class Run:
    """What a playbook has said and left."""

    def __init__(self, status: int, text: str, report: Path, seconds: float) -> None:
        self.status = status
        self.text = text
        self.seconds = seconds
        lines = report.read_text().splitlines() if report.exists() else []
        self.records: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def recap(self, host: str, what: str) -> int:
        """A number of the play's recap."""
        found = re.search(rf"^{host} +: .*\b{what}=(\d+)", self.text, re.MULTILINE)
        assert found, f"no recap of {host} in:\n{self.text}"
        return int(found[1])

    def diffs(self) -> dict[str, list[str]]:
        """The lines with which each host's pipe announced what changes."""
        found: dict[str, list[str]] = {}
        for task in re.split(r"^TASK ", self.text, flags=re.MULTILINE):
            host = re.search(r"^changed: \[(\w+)\]", task, re.MULTILINE)
            if "Run the pipe" in task.partition("\n")[0] and host:
                found[host[1]] = [line for line in task.splitlines() if re.match(r"[+-](?![+-])", line)]
        return found


class Stories:
    """All stories, in the order in which they build on each other."""

    def __init__(self, fleet: Fleet, ansible: Path, tools: Path, packages: Path) -> None:
        self.fleet = fleet
        self.hosts = fleet.hosts
        self.h1, self.h2, self.h3 = fleet.hosts
        self.tools, self.packages = tools, packages
        self.directory = fleet.directory
        self.balancer = Balancer(fleet.directory, [host.name for host in fleet.hosts])
        self.measured: list[str] = []
        self.environment = dict(
            os.environ,
            ANSIBLE_CONFIG=str(fleet.directory / "ansible.cfg"),
            PATH=f"{self.wrappers()}:{ansible}:{tools}:{os.environ['PATH']}",
            HOME=str(fleet.directory),
        )

    def wrappers(self) -> Path:
        """A folder with an ssh that knows the hosts, for scripts that only say `ssh web1`."""
        folder = self.directory / "wrappers"
        folder.mkdir()
        (folder / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {self.directory}/ssh_config "$@"\n')
        (folder / "ssh").chmod(0o755)
        return folder

    def build(self, name: str, bad_on: str = "") -> Path:
        """What is released: the shop, with a file that makes it differ."""
        folder = self.directory / "builds" / name
        if not folder.exists():
            shutil.copytree(HERE / "shop", folder)
            (folder / "name").write_text(name)
            # Something to carry, so that what the network takes is no rounding error.
            (folder / "data").write_bytes(os.urandom(1 << 20))
            if bad_on:
                (folder / "bad-on").write_text(bad_on)
        return folder

    def playbook(self, name: str, *more: str, **variables: object) -> Run:
        """Runs a playbook of the collection on all hosts."""
        report = self.directory / "report.ndjson"
        report.unlink(missing_ok=True)
        values = {
            "cutover_root": "/srv/shop",
            "cutover_restart": RESTART,
            "cutover_out": str(HERE / "hooks/out.yml"),
            "cutover_in": str(HERE / "hooks/in.yml"),
            "cutover_report": str(report),
            "fleet_balancer": str(HERE / "balancer"),
            "fleet_controller": str(self.directory / "controller"),
            **variables,
        }
        line = ["ansible-playbook", f"cutover.deploy.{name}", "-e", json.dumps(values), *more]
        began = time.monotonic()
        with subprocess.Popen(
            line,
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            (self.directory / "controller").write_text(str(process.pid))
            out = process.communicate()[0]
        run = Run(process.returncode, out, report, time.monotonic() - began)
        (self.directory / "last.log").write_text(run.text)
        return run

    def roll(self, name: str, *more: str, bad_on: str = "", **variables: object) -> Run:
        """Rolls a release over the hosts."""
        source = self.build(name, bad_on)
        return self.playbook("roll", *more, cutover_source=str(source), cutover_release=name, **variables)

    def network(self) -> Callable[[Run], int]:
        """Begins to count what passes the hosts' network cards; a host's mean, less what HAProxy's checks take."""
        began = [host.traffic() for host in self.hosts]
        time.sleep(1)
        idle = [host.traffic() - at for host, at in zip(self.hosts, began)]

        def spent(run: Run) -> int:
            passed = [host.traffic() - at for host, at in zip(self.hosts, began)]
            return max(0, (sum(passed) - int(sum(idle) * (1 + run.seconds))) // len(self.hosts))

        return spent

    def live(self) -> list[str]:
        """What each host's link names."""
        return [host.live() for host in self.hosts]

    def verdict(self, host: Host, name: str) -> str:
        """What a host knows of a release; empty where it has none of this name."""
        releases = map(json.loads, host.run("release-ls", "--json", "/srv/shop").splitlines())
        return next((one["verdict"] for one in releases if one["id"] == name), "")

    def serving(self, host: Host) -> set[str]:
        """What the two instances of a host answer."""
        asked = [host.run("curl", "-s", f"http://127.0.0.1:800{i}/") for i in (1, 2)]
        return {answer.partition(" ")[0] for answer in asked}

    def page(self, run: Run) -> str:
        """The page that release-ls makes of the report of a run."""
        report = "".join(json.dumps(record) + "\n" for record in run.records)
        line = [str(self.tools / "release-ls"), "--records", "-", "--html"]
        return subprocess.run(line, input=report, capture_output=True, text=True, check=True).stdout

    def outcomes(self, run: Run) -> dict[str, str]:
        """What release-ls reads in the report of a run."""
        report = "".join(json.dumps(record) + "\n" for record in run.records)
        line = [str(self.tools / "release-ls"), "--records", "-", "--json"]
        done = subprocess.run(line, input=report, capture_output=True, text=True, check=True)
        return {host["host"]: host["outcome"] for host in map(json.loads, done.stdout.splitlines())}

    def the_role_installs_from_a_tarball_a_directory_and_a_deb(self) -> str:
        """Three ways to bring the tools; the second time nothing changes."""
        (tarball,) = self.packages.glob("*.tar.gz")
        (package,) = self.packages.glob("*.deb")

        def install(host: Host, source: Path) -> None:
            for more, changes in ((["--check"], True), ([], True), ([], False)):
                run = self.playbook("install", "-l", host.name, *more, cutover_install_from=str(source))
                assert run.status == 0, run.text
                assert (run.recap(host.name, "changed") > 0) == changes, run.text
                assert bool(self.tool_on(host)) == (not more), run.text
            assert "release-ls" in host.run("release-ls", "--version")

        with ThreadPoolExecutor() as pool:
            list(pool.map(install, self.hosts, (tarball, self.tools, package)))
        return "--check says so before, a second time changes nothing"

    def tool_on(self, host: Host) -> str:
        """Where a host has the tools; empty where it has none."""
        return host.run("sh", "-c", "command -v release-ls || :").strip()

    def check_mode_tells_the_truth_and_changes_nothing(self) -> str:
        """What --check --diff announces for the first and for the second release is what then happens."""
        for name in ("v1", "v2"):
            before = [host.state() for host in self.hosts]
            planned = self.roll(name, "--check", "--diff")
            assert planned.status == 0, planned.text
            assert [host.state() for host in self.hosts] == before, "check mode has changed a host"
            assert not planned.records, "check mode has written a report"
            network = self.network()
            done = self.roll(name, "--diff")
            assert done.status == 0, done.text
            assert len(planned.diffs()) == 3 and planned.diffs() == done.diffs(), (planned.diffs(), done.diffs())
            assert f"+release {name}" in done.diffs()["h2"], done.diffs()
        sizes = [len(json.dumps(record, separators=(",", ":"))) for record in done.records]
        self.measured.append(
            f"a release of {done.records[0]['release']['bytes']} bytes: {network(done)} bytes of network a host, "
            f"in {done.seconds:.1f} s for three; a record has {min(sizes)} to {max(sizes)} bytes"
        )
        again = self.roll("v2", "--check", "--diff")
        assert again.status == 0 and not again.diffs(), again.text
        missing = self.playbook("roll", "--check", cutover_source="/nowhere", cutover_release="v3")
        assert missing.status != 0 and "nowhere" in missing.text, missing.text
        return "planned and done are the same lines, for a first and a later release"

    def a_good_deploy_rolls_1_2_3_and_no_request_is_lost(self) -> str:
        """Host after host, out of the balancer and in again, under a client that asks all the time."""
        self.balancer.log()
        with Clients() as clients:
            run = self.roll("v3")
        assert run.status == 0, run.text
        assert self.balancer.log() == [f"{what} {host}" for host in ("h1", "h2", "h3") for what in ("out", "in")]
        assert self.live() == ["v3"] * 3
        assert all(self.serving(host) == {"v3"} for host in self.hosts)
        assert [record["known_as"] for record in run.records] == ["h1", "h2", "h3"]
        times = [record["stages"][0]["started_at"] for record in run.records]
        assert times == sorted(times), times
        assert len({record["release"]["digest"] for record in run.records}) == 1
        assert set(self.outcomes(run).values()) == {"deployed"}, self.outcomes(run)
        assert clients.sent > 50 and not clients.failures, (clients.sent, clients.failures[:5])
        return f"{clients.sent} requests sent, {len(clients.failures)} failed"

    def a_second_run_changes_nothing(self) -> str:
        """No process, no file, not even a time; nobody is taken out of the balancer."""
        before = [host.state() for host in self.hosts]
        self.balancer.log()
        network = self.network()
        run = self.roll("v3")
        assert run.status == 0, run.text
        assert [run.recap(host.name, "changed") for host in self.hosts] == [0, 0, 0], run.text
        assert [host.state() for host in self.hosts] == before
        assert not self.balancer.log()
        assert set(self.outcomes(run).values()) == {"unchanged"}
        self.measured.append(f"a second run: {network(run)} bytes of network a host, in {run.seconds:.1f} s")
        self.h2.run("systemctl", "stop", "shop@2")
        mends = self.roll("v3")
        assert mends.status == 0, mends.text
        assert self.serving(self.h2) == {"v3"}, "an instance that was down is not up again"
        assert [self.outcomes(mends)[host.name] for host in self.hosts] == ["unchanged", "deployed", "unchanged"]
        return "and starts what is down, alone"

    def bad_on_host_2_stops_there_and_all_go_back(self) -> str:
        """Host 3 is not touched, host 2 takes itself back, host 1 is taken back."""
        untouched = self.h3.state()
        with Clients() as clients:
            run = self.roll("v4", bad_on="h2")
        assert run.status != 0, run.text
        assert self.live() == ["v3"] * 3, self.live()
        assert self.h3.state() == untouched, "host 3 was touched"
        assert all(self.serving(host) == {"v3"} for host in self.hosts)
        assert self.outcomes(run) == {"h1": "taken_back", "h2": "taken_back", "h3": "not_reached"}, self.outcomes(run)
        for host in (self.h1, self.h2):
            assert self.verdict(host, "v4") == "bad", host.name
        assert all(name in self.page(run) for name in ("taken back", "not reached", "503"))
        assert not clients.failures, clients.failures[:5]
        refused = self.roll("v4")
        assert refused.status != 0 and "was bad on" in refused.text, refused.text
        assert self.h3.state() == untouched
        return f"and is refused from then on; {clients.sent} requests sent, {len(clients.failures)} failed"

    def bad_in_a_batch_of_three_takes_the_whole_batch_back(self) -> str:
        """The hosts of the same batch were switched at the same time."""
        self.balancer.log()
        run = self.roll("v6", bad_on="h2", cutover_serial=["100%"], cutover_most_out="100%")
        assert run.status != 0, run.text
        assert [line.partition(" ")[0] for line in self.balancer.log()[:3]] == ["out"] * 3
        assert self.live() == ["v3"] * 3, self.live()
        assert all(self.serving(host) == {"v3"} for host in self.hosts)
        assert set(self.outcomes(run).values()) == {"taken_back"}, self.outcomes(run)
        assert {self.verdict(host, "v6") for host in self.hosts} == {"bad"}
        return "all three are back"

    def one_name_for_other_bytes_takes_all_back(self) -> str:
        """Host 3 has a release of this name already, made from something else."""
        self.h3.run("release-mk", "-q", "--root", "/srv/shop", "--from", str(self.build("other")), "--name", "v8")
        run = self.roll("v8")
        assert run.status != 0 and "other bytes than on h1" in run.text, run.text
        assert self.live() == ["v3"] * 3, self.live()
        assert all(self.serving(host) == {"v3"} for host in self.hosts)
        return "when host 3 turns out to have them"

    def a_controller_that_is_killed_leaves_what_the_same_roll_finishes(self) -> str:
        """It dies when host 1 is done; each host is on one release or the other, and serves."""
        self.balancer.log()
        killed = self.roll("v7", cutover_in=str(HERE / "hooks/die.yml"))
        assert killed.status == -signal.SIGKILL, killed.text
        assert self.live() == ["v7", "v3", "v3"], self.live()
        run = self.roll("v7")
        assert run.status == 0 and self.live() == ["v7"] * 3, run.text
        assert [self.outcomes(run)[host.name] for host in self.hosts] == ["unchanged", "deployed", "deployed"]
        back = self.playbook("rollback")
        assert back.status == 0 and self.live() == ["v3"] * 3, back.text
        return "the same roll again finishes"

    def an_unreachable_host_stops_the_roll_before_it_begins(self) -> str:
        """Nobody is touched, and the report says why."""
        before = [host.state() for host in self.hosts]
        self.h2.link(False)
        run = self.roll("v5")
        self.h2.link(True)
        assert run.status != 0 and "unreachable: h2" in run.text, run.text
        assert [host.state() for host in self.hosts] == before
        assert self.outcomes(run) == {"h1": "not_reached", "h2": "unreachable", "h3": "not_reached"}
        return "nobody was touched"

    def a_balancer_that_cannot_be_reached_stops_the_roll(self) -> str:
        """Nobody is deployed to who could not be taken out."""
        before = [host.state() for host in self.hosts]
        run = self.roll("v5", cutover_out=str(HERE / "hooks/lost.yml"))
        assert run.status != 0 and "h1: unreachable: what the tasks of" in run.text, run.text
        assert [host.state() for host in self.hosts] == before
        assert self.outcomes(run) == {"h1": "failed", "h2": "not_reached", "h3": "not_reached"}, self.outcomes(run)
        return "nobody was touched"

    def a_host_lost_in_its_turn_stops_the_roll_and_the_rest_goes_back(self) -> str:
        """Its pipe goes on; the release is not to blame, and the same roll goes through when the host is back."""
        untouched = self.h3.state()
        lose = '[ "$(hostname)" != h2 ] || ip link set p2 down'
        run = self.roll("v5", cutover_restart=dict(RESTART, before=lose))
        assert run.status != 0, run.text
        until("the pipe of the lost host is at its end", lambda: self.serving(self.h2) == {"v5"})
        self.h2.run("ip", "link", "set", "p2", "up")
        assert self.live()[0] == "v3" and self.serving(self.h1) == {"v3"}
        assert self.h3.state() == untouched, "host 3 was touched"
        assert self.outcomes(run) == {"h1": "taken_back", "h2": "unreachable", "h3": "not_reached"}, self.outcomes(run)
        assert self.verdict(self.h1, "v5") != "bad", "a release is blamed for a broken network"
        again = self.roll("v5")
        assert again.status == 0, again.text
        assert self.live() == ["v5"] * 3 and all(self.serving(host) == {"v5"} for host in self.hosts)
        return "the same roll again goes through"

    def a_rollback_of_all_lands_on_one_release_or_is_refused(self) -> str:
        """Forward again by name, then a host with another past: nobody is rolled back."""
        back = self.playbook("rollback", cutover_reason="checkout is slow")
        assert back.status == 0, back.text
        assert self.live() == ["v3"] * 3, self.live()
        assert set(self.outcomes(back).values()) == {"taken_back"}, self.outcomes(back)
        assert {self.verdict(host, "v5") for host in self.hosts} == {"bad"}
        self.balancer.log()
        forward = self.playbook("roll", cutover_release="v2", cutover_serial=["100%"])
        assert forward.status == 0 and self.live() == ["v2"] * 3, forward.text
        # Three tenths of three hosts is one at a time, however long the batch was to be.
        assert self.balancer.log() == [f"{what} {host}" for host in ("h1", "h2", "h3") for what in ("out", "in")]
        # On host 3 the release before is another one than on hosts 1 and 2.
        self.h3.run("release-switch", "--root", "/srv/shop", "--to", "v1", "-n")
        self.h3.run("release-switch", "--root", "/srv/shop", "--good", "-n")
        self.h3.run("release-switch", "--root", "/srv/shop", "--to", "v2", "-n")
        before = [host.state() for host in self.hosts]
        split = self.playbook("rollback")
        assert split.status != 0 and "different releases" in split.text, split.text
        assert [host.state() for host in self.hosts] == before
        # Host 2 says no to what all are to go back to: there it ends, and the same again finishes.
        untouched = self.h3.state()
        self.h2.run("sh", "-c", "echo h2 >/srv/shop/releases/v3/bad-on")
        halfway = self.playbook("rollback", cutover_back_to="v3")
        assert halfway.status != 0 and "h2: not taken back" in halfway.text, halfway.text
        assert self.live() == ["v3", "v2", "v2"] and self.serving(self.h2) == {"v2"}, (self.live(), halfway.text)
        assert self.h3.state() == untouched, "host 3 was touched"
        self.h2.run("rm", "/srv/shop/releases/v3/bad-on")
        named = self.playbook("rollback", cutover_back_to="v3")
        assert named.status == 0 and self.live() == ["v3"] * 3, named.text
        assert [self.outcomes(named)[host.name] for host in self.hosts] == ["unchanged", "deployed", "deployed"]
        return "different landings are refused, a named one is not, and the first no ends it"

    def the_same_pipe_over_ssh_and_over_parallel(self) -> str:
        """The scripts of docs/fleet.md, as they stand there."""
        text = (TOP / "docs/fleet.md").read_text()
        scripts = dict(re.findall(r"^```sh file=(\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        for host in self.hosts:
            subprocess.run(
                self.fleet.ssh(host.name, "cat >/srv/shop/deploy && chmod 755 /srv/shop/deploy"),
                input=scripts["deploy"],
                text=True,
                check=True,
            )
        folder = self.directory / "ssh"
        folder.mkdir()
        for name in ("roll", "roll-parallel"):
            (folder / name).write_text(scripts[name])
            good, bad = f"{name}-good", f"{name}-bad"
            done = self.shell(folder, name, good, self.build(good))
            assert done.returncode == 0, done.stderr
            assert self.live() == [good] * 3 and self.serving(self.h3) == {good}
            untouched = self.h3.state()
            done = self.shell(folder, name, bad, self.build(bad, bad_on="h2"))
            assert done.returncode != 0, done.stderr
            assert self.live() == [good] * 3 and self.serving(self.h1) == {good}, (self.live(), done.stderr)
            # The parallel one takes hosts 2 and 3 at the same time.
            assert name == "roll-parallel" or self.h3.state() == untouched, "host 3 was touched"
            assert self.serving(self.h3) == {good}
            assert "taken back" in done.stdout, done.stdout
        return "a good one and a bad one each"

    def shell(self, folder: Path, script: str, name: str, build: Path) -> subprocess.CompletedProcess[str]:
        """Runs a script of the manual over the three hosts."""
        line = ["sh", script, name, str(build), "web1", "web2", "web3"]
        return subprocess.run(
            line,
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def all(self) -> list[Callable[[], str]]:
        """The stories in their order."""
        return [
            self.the_role_installs_from_a_tarball_a_directory_and_a_deb,
            self.check_mode_tells_the_truth_and_changes_nothing,
            self.a_good_deploy_rolls_1_2_3_and_no_request_is_lost,
            self.a_second_run_changes_nothing,
            self.bad_on_host_2_stops_there_and_all_go_back,
            self.bad_in_a_batch_of_three_takes_the_whole_batch_back,
            self.one_name_for_other_bytes_takes_all_back,
            self.a_controller_that_is_killed_leaves_what_the_same_roll_finishes,
            self.an_unreachable_host_stops_the_roll_before_it_begins,
            self.a_balancer_that_cannot_be_reached_stops_the_roll,
            self.a_host_lost_in_its_turn_stops_the_roll_and_the_rest_goes_back,
            self.a_rollback_of_all_lands_on_one_release_or_is_refused,
            self.the_same_pipe_over_ssh_and_over_parallel,
        ]


def main() -> int:
    """Runs the stories; a failed one ends them, because the next ones build on it."""
    # So that an end from outside also ends HAProxy and the hosts.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ansible, tools, packages = (Path(name).absolute() for name in sys.argv[1:4])
    # In memory where that can be: three systems and a controller write a lot that nobody will read.
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="cutover-fleet.", dir=memory if memory.is_mount() else "/tmp"))
    began = time.monotonic()
    fleet = stories = None
    failed = False
    try:
        fleet = Fleet(directory)
        print(f"three hosts are up in {time.monotonic() - began:.1f} s", flush=True)
        stories = Stories(fleet, ansible, tools, packages)
        wanted = sys.argv[4:]
        for story in stories.all():
            if wanted and not any(name in story.__name__ for name in wanted):
                continue
            start = time.monotonic()
            try:
                verdict, told = "ok", story()
            except Exception as error:  # pylint: disable=broad-exception-caught
                # Whatever it was, it is the story that has failed.
                failed, verdict, told = True, "FAILED", f"{type(error).__name__}: {str(error)[-3000:]}"
            print(
                f"{verdict:7} {story.__name__.replace('_', ' ')}: {told} ({time.monotonic() - start:.1f} s)", flush=True
            )
            if failed:
                break
        for line in stories.measured:
            print(f"MEASURED fleet: {line}")
    finally:
        if stories is not None:
            stories.balancer.end()
        if fleet is not None:
            fleet.end()
        if failed:
            print(f"left for you to look at: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(f"{directory}-tmp", ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
