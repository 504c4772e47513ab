#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wraps release-gc."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_gc
short_description: Remove the releases that no rule keeps
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Removes old releases. What is live, previous, good, pinned or in use stays.
  - It wraps C(release-gc), whose manual page says more of each option.
options:
  keep:
    description: Keep so many of the newest releases that were good.
    type: int
  keep_days:
    description: Keep what was made, or stopped being live, less than so many days ago.
    type: int
  keep_unused:
    description: Keep what was never live for so long, such as V(24h).
    type: str
  keep_failed:
    description: Keep so many of the newest failed builds.
    type: int
  min_free:
    description: Until so much of the disk is free also remove what only its age keeps.
    type: str
  max_delete:
    description: Remove at most so many.
    type: int
  strict:
    description: Fail when anything is left, and remove nothing while processes cannot be looked at.
    type: bool
    default: false
extends_documentation_fragment:
  - cutover.deploy.tool
  - cutover.deploy.tool.record
"""

EXAMPLES = r"""
---
- name: Keep five
  cutover.deploy.release_gc:
    root: /srv/shop
    keep: 5
"""

RETURN = r"""
record:
  description: The record of the tool, as schema C(cutover.record/1) describes it.
  returned: when the tool ran
  type: dict
  sample: {"schema": "cutover.record/1", "ok": true, "changed": true}
held:
  description: Whether the pipe waits for a promotion.
  returned: when the tool ran
  type: bool
rc:
  description: The exit status.
  returned: when the tool ran
  type: int
stderr_lines:
  description: The last lines that the tool has said.
  returned: on failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cutover.deploy.plugins.module_utils.tool import Run, specification


def main() -> None:
    """Runs release-gc and ends with its record."""
    module = AnsibleModule(argument_spec=specification("release_gc"), supports_check_mode=True)
    Run(module).tool("release_gc")


if __name__ == "__main__":
    main()
