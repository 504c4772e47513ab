# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes the report of a fleet on the controller, in the process that runs the task."""

from __future__ import annotations

import os
import tempfile
import typing as t

from ansible.errors import AnsibleActionFail

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """cutover.deploy.fleet_report."""

    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Replaces the file by the lines, where it holds others."""
        super().run(tmp, task_vars)
        _result, given = self.validate_argument_spec(
            argument_spec={
                "path": {"type": "path", "required": True},
                "lines": {"type": "list", "elements": "str", "required": True},
            }
        )
        path = os.path.abspath(given["path"])
        content = "".join(f"{line}\n" for line in given["lines"]).encode()
        try:
            has_changed = held(path) != content
            if has_changed and not self._task.check_mode:
                replace(path, content)
        except OSError as error:
            raise AnsibleActionFail(f"write the report {path}: {error}") from error
        return {"changed": has_changed, "path": path}


def held(path: str) -> bytes | None:
    """What a file holds; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def replace(path: str, content: bytes) -> None:
    """Writes a file anew, so that nobody ever reads half of it."""
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), prefix=".report-", delete=False) as file:
        try:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise
