"""A connection to a host that is not there: every module is answered at once from what a real host has said."""

from __future__ import annotations

import json
import os
import re

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: stub
short_description: Answers for a simulated host
description: Answers every module from the records in the file that FLEET_ANSWERS names.
options: {}
"""


class Connection(ConnectionBase):
    """One simulated host."""

    transport = "stub"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Answers a module, or the few shell lines around it."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        if in_data:
            count(len(in_data))
            with open(os.environ["FLEET_ANSWERS"], encoding="utf-8") as file:
                answers = json.load(file)
            name = "release_ls" if b"release_ls" in in_data else "pipe"
            return 0, json.dumps(answers[name]).encode(), b""
        made = re.search(r"echo (ansible-tmp-[0-9.-]+)=", cmd)
        return 0, f"{made[1]}=/tmp/{made[1]}\n".encode() if made else b"", b""

    def put_file(self, in_path: str, out_path: str) -> None:
        """Carries nothing, but counts it."""
        super().put_file(in_path, out_path)
        count(os.path.getsize(in_path))

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Nothing is fetched."""
        super().fetch_file(in_path, out_path)

    def close(self) -> None:
        """There is nothing to close."""
        self._connected = False


def count(number: int) -> None:
    """Notes how many bytes would have been sent."""
    with open(os.environ["FLEET_ANSWERS"] + ".sent", "a", encoding="utf-8") as file:
        file.write(f"{number}\n")
