# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Packs a directory on the controller, in the process that runs the task: no host and no module is asked."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import tempfile
import typing as t

from ansible.errors import AnsibleActionFail

from ansible import constants
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """cutover.deploy.release_pack."""

    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Packs, and says where the archive is and what it is called."""
        super().run(tmp, task_vars)
        _result, given = self.validate_argument_spec(
            argument_spec={
                "source": {"type": "path", "required": True},
                "directory": {"type": "path"},
                "name": {"type": "str"},
            }
        )
        source = archive = os.path.abspath(given["source"])
        try:
            if os.path.isdir(source):
                # Ansible removes its own when it ends. Hosts keep the archive's name in their manifests.
                directory = given["directory"] or tempfile.mkdtemp(prefix="pack-", dir=constants.DEFAULT_LOCAL_TMP)
                archive = os.path.join(os.path.abspath(directory), called(given["name"] or source) + ".tar.gz")
                pack(source, archive)
            sha256 = digest(archive)
            size = os.path.getsize(archive)
        except OSError as error:
            raise AnsibleActionFail(f"pack {source}: {error}") from error
        name = given["name"] or sha256[:12]
        return {"changed": False, "archive": archive, "sha256": sha256, "bytes": size, "name": name}


def called(name: str) -> str:
    """The last part of a name or a path."""
    return os.path.basename(os.path.normpath(name))


def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what differs from one machine to the next."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = int(entry.mtime)
    return entry


def pack(source: str, archive: str) -> None:
    """Writes the archive of a directory."""
    with open(archive, "wb") as file:
        # Neither the time nor the name of the archive enters its head.
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
            with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
                # Sorts the names of every directory by itself.
                tar.add(source, arcname=".", filter=plain)


def digest(path: str) -> str:
    """The SHA-256 of a file."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()
