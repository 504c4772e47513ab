#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What release_pack says of itself: an action plugin of this name does it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_pack
short_description: Pack what shall be released, and name it
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Makes one archive of a directory, with sorted names and without owners, so that the same files of the same
    times give the same bytes.
  - An archive is taken as it is.
  - It runs on the controller, whatever the host; run it once, and the same archive and the same name go to all.
options:
  source:
    description: The directory, or an archive that release-mk reads.
    type: path
    required: true
  directory:
    description: Where the archive of a directory is written; without it a temporary place, until the playbook ends.
    type: path
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
