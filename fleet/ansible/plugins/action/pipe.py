# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Brings the archive of a pipe to the host, and runs the module of the same name there.

The archive lies in the task's own temporary directory, which Ansible removes with the task: also in check mode, where
the plan is read from it.
"""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible_collections.cutover.deploy.plugins.module_utils.tool import Refused, pipe, tool_of

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """The controller's half of cutover.deploy.pipe."""

    _requires_connection = True
    # Only with an archive, so the directory for it is made then, and not before every pipe.
    TRANSFERS_FILES = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Copies the archive, if there is one, and runs the pipe."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        archive = arguments.pop("archive", None)
        check(arguments.get("stages"), bool(archive))
        if not archive:
            return self._execute_module(module_args=arguments, task_vars=task_vars)
        archive = os.path.expanduser(archive)
        if not os.path.isfile(archive):
            raise refused(f"there is no archive {archive} on the controller")
        # Ansible removes it behind the task.
        directory = self._make_tmp_path()
        remote = self._connection._shell.join_path(directory, os.path.basename(archive))
        arguments["stages"] = [filled(stage, remote) for stage in arguments["stages"]]
        try:
            self._transfer_file(archive, remote)
        except AnsibleConnectionFailure:
            raise
        except AnsibleError as why:
            raise refused(f"bring the archive: {why}") from why
        # Another user than the one who connects may have to read it.
        self._fixup_perms2((directory, remote), execute=False)
        return self._execute_module(module_args=arguments, task_vars=task_vars)

    def cleanup(self, force: bool = False) -> None:
        """Removes the directory. That it cannot be reached must not take the place of what became of the pipe."""
        try:
            super().cleanup(force)
        except AnsibleConnectionFailure:
            self._connection._shell.tmpdir = None


def refused(why: str) -> AnsibleActionFail:
    """A failure before anything was started on the host."""
    return AnsibleActionFail(why, result={"untouched": True})


def check(stages: t.Any, has_archive: bool) -> None:
    """Refuses what no host should be asked, before a secret among it comes into the log of one."""
    if not isinstance(stages, list) or not stages:
        raise refused("stages is a list of at least one stage, such as {release_gc: {keep: 5}}")
    if not all(isinstance(stage, dict) for stage in stages):
        raise refused("a stage is one tool with its options, such as {release_gc: {keep: 5}}")
    try:
        pipe([filled(stage, "archive") for stage in stages] if has_archive else stages, False)
    except Refused as why:
        raise refused(str(why)) from why


def filled(stage: dict[str, t.Any], archive: str) -> dict[str, t.Any]:
    """A stage, where it makes the release with the archive as its source."""
    return {
        name: dict(options or {}, **{"from": archive}) if tool_of(name) == "release_mk" else options
        for name, options in stage.items()
    }
