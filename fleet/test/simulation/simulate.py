"""What a large fleet costs the controller: the real playbook over simulated hosts, and the report of all of them.

simulate.py ANSIBLE TOOLS [HOSTS…]: prints a line per number of hosts. One real pipe is run here first; what it wrote
is what every simulated host answers, so that records have their true size. What the hosts do takes no time here.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
FORKS = 25

# Two instances behind gates with a real record, a release before, and a full gc entry: as on a host of the stories.
PIPE = """\
set -e
mkdir build && echo 1 >build/file
go() { svc-restart --via exec shop@1 shop@2 --command restart=true --command 'status=echo 1' --stable 0s \\
    --gate 'svc-health -n exec:true --wait 1s #{i}' "$@"; }
for name in v1 v2 v3 v4 v5 v6; do
    echo $name >build/file
    release-mk -q --root "$PWD/root" --from build --name $name | release-switch -q | go -q | release-switch -q --undo |
        go -q --undo | release-gc -q --keep 5 >record
done
"""

CONFIGURATION = """\
[defaults]
inventory = {directory}/hosts
collections_path = {directory}/collections
connection_plugins = {here}/connection_plugins
local_tmp = {directory}/local
forks = {forks}
nocolor = true
[connection]
pipelining = true
"""


def answers(directory: Path, tools: Path) -> None:
    """Runs a real pipe, and writes what its host would answer."""
    path = f"{tools}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", PIPE], cwd=directory, env=dict(os.environ, PATH=path), check=True, capture_output=True)
    record = json.loads((directory / "record").read_text())
    seen = {"changed": False, "exists": True, "current": "v5", "previous": "v4", "release": {}}
    piped = {"changed": True, "held": False, "rc": 0, "record": record, "diff": {"before": "v5\n", "after": "v6\n"}}
    (directory / "answers").write_text(json.dumps({"release_ls": seen, "pipe": piped}))


def cost(line: list[str], directory: Path, environment: dict[str, str]) -> tuple[float, float, int]:
    """Runs a command: seconds by the clock, seconds of processor, peak memory of its largest process in KiB."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with open(directory / "out", "wb") as out:
        subprocess.run(
            line, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, used, after.ru_maxrss


def simulate(hosts: int, ansible: Path, tools: Path) -> str:
    """Rolls over so many simulated hosts, and makes the page of the report."""
    with tempfile.TemporaryDirectory(prefix="cutover-simulation.") as name:
        directory = Path(name)
        answers(directory, tools)
        (directory / "collections/ansible_collections/cutover").mkdir(parents=True)
        (directory / "collections/ansible_collections/cutover/deploy").symlink_to(TOP / "fleet/ansible")
        names = "".join(f"web{number:04}.example.org\n" for number in range(1, hosts + 1))
        variables = "[all:vars]\nansible_connection=stub\nansible_python_interpreter=/usr/bin/python3\n"
        (directory / "hosts").write_text(names + variables)
        here = Path(__file__).resolve().parent
        (directory / "ansible.cfg").write_text(CONFIGURATION.format(directory=directory, here=here, forks=FORKS))
        environment = dict(
            os.environ,
            ANSIBLE_CONFIG=str(directory / "ansible.cfg"),
            FLEET_ANSWERS=str(directory / "answers"),
            HOME=str(directory),
            PATH=f"{ansible}:{os.environ['PATH']}",
        )
        report = directory / "report.ndjson"
        values = {
            "cutover_root": "/srv/shop",
            "cutover_source": str(directory / "build"),
            "cutover_release": "v6",
            "cutover_restart": {"via": "systemd", "instances": ["shop@1", "shop@2"], "gate": "true"},
            "cutover_report": str(report),
        }
        line = ["ansible-playbook", "cutover.deploy.roll", "-e", json.dumps(values)]
        clock, used, memory = cost(line, directory, environment)
        told = (directory / "out").read_text()
        assert re.search(rf"{hosts} deployed", told), told[-2000:]
        size = report.stat().st_size
        assert len(report.read_text().splitlines()) == hosts
        sent = sum(map(int, (directory / "answers.sent").read_text().split()))
        command = [str(tools / "release-ls"), "--records", str(report)]
        table, _, _ = cost(command, directory, environment)
        page_clock, _, _ = cost([*command, "--html"], directory, environment)
        page = (directory / "out").stat().st_size
    return (
        f"{hosts:5} hosts: controller {clock:.1f} s ({used:.1f} s of processor, {used / hosts * 1000:.0f} ms a host, "
        f"{memory >> 10} MiB at most); report {size} bytes ({size // hosts} a host); "
        f"sent {sent // hosts} bytes a host before compression; "
        f"release-ls {table:.2f} s, page {page_clock:.2f} s and {page} bytes"
    )


def main() -> None:
    """Simulates each number of hosts."""
    ansible, tools = (Path(name).absolute() for name in sys.argv[1:3])
    for hosts in map(int, sys.argv[3:] or ["10", "100", "1000"]):
        print(simulate(hosts, ansible, tools), flush=True)


if __name__ == "__main__":
    main()
