# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Brings the archive of a pipe to the host, and runs the module of the same name there.

The archive lies in the task's own temporary directory, which Ansible removes with the task: also in check mode, where
the plan is read from it.
"""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleActionFail

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """The controller's half of cutover.deploy.pipe."""

    _requires_connection = True
    TRANSFERS_FILES = True

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Copies the archive, if there is one, and runs the pipe."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        archive = arguments.pop("archive", None)
        if not archive:
            return self._execute_module(module_args=arguments, task_vars=task_vars)
        archive = os.path.expanduser(archive)
        if not os.path.isfile(archive):
            raise AnsibleActionFail(f"there is no archive {archive} on the controller")
        directory = self._make_tmp_path()
        remote = self._connection._shell.join_path(directory, os.path.basename(archive))
        arguments["stages"] = [filled(stage, remote) for stage in arguments.get("stages") or []]
        try:
            self._transfer_file(archive, remote)
            self._fixup_perms2((directory, remote))
            return self._execute_module(module_args=arguments, task_vars=task_vars)
        finally:
            self._remove_tmp_path(directory)


def filled(stage: dict[str, t.Any], archive: str) -> dict[str, t.Any]:
    """A stage, where it makes the release with the archive as its source."""
    if "release_mk" not in stage:
        return stage
    return {"release_mk": dict(stage["release_mk"] or {}, **{"from": archive})}
