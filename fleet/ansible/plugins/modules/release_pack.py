#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Packs a directory into an archive whose bytes depend on its content alone."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_pack
short_description: Pack what shall be released, and name it
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Makes one archive of a directory, with sorted names and without owners, so that the same files give the same bytes.
  - An archive is taken as it is.
  - Run it once, on the controller; the same archive and the same name then go to all hosts.
options:
  source:
    description: The directory, or an archive that release-mk reads.
    type: path
    required: true
  directory:
    description: Where the archive of a directory is written.
    type: path
    required: true
  name:
    description: The name of the release; without it the first 12 digits of the archive's SHA-256.
    type: str
attributes:
  check_mode:
    description: The archive is written in check mode too, because what is planned is read from it.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
---
- name: Pack the build, here
  cutover.deploy.release_pack:
    source: build/
    directory: /tmp/shop
  delegate_to: localhost
  run_once: true
  register: packed
"""

RETURN = r"""
archive:
  description: The archive.
  returned: always
  type: str
sha256:
  description: Its digest.
  returned: always
  type: str
bytes:
  description: Its size.
  returned: always
  type: int
name:
  description: The name that all hosts give the release.
  returned: always
  type: str
"""

import gzip
import hashlib
import os
import tarfile

from ansible.module_utils.basic import AnsibleModule


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


def main() -> None:
    """Packs, and ends with where the archive is and what it is called."""
    spec = {
        "source": {"type": "path", "required": True},
        "directory": {"type": "path", "required": True},
        "name": {"type": "str"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    source = archive = module.params["source"]
    try:
        if os.path.isdir(source):
            # The manifest on every host keeps this name.
            name = os.path.basename(module.params["name"] or os.path.basename(os.path.abspath(source)))
            archive = os.path.join(module.params["directory"], f"{name}.tar.gz")
            pack(source, archive)
        sha256 = digest(archive)
        size = os.path.getsize(archive)
    except OSError as error:
        module.fail_json(msg=f"pack {source}: {error}")
    module.exit_json(
        changed=False,
        archive=os.path.abspath(archive),
        sha256=sha256,
        bytes=size,
        name=module.params["name"] or sha256[:12],
    )


if __name__ == "__main__":
    main()
