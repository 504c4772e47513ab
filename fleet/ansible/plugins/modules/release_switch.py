#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wraps release-switch."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_switch
short_description: Replace the link that says which release is live
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Switches to a release by one rename, goes back to the newest good one before, or takes a failed record back.
  - It wraps C(release-switch), whose manual page says more of each option.
options:
  to:
    description: Switch to this release instead of the record's.
    type: str
  rollback:
    description: Switch to the newest good release that was live before, and mark the one it leaves bad.
    type: bool
    default: false
  good:
    description: Mark the release good that is live.
    type: bool
    default: false
  undo:
    description: Behind a failed O(record) put back what its pipe switched; behind a good one mark the release good.
    type: bool
    default: false
  adopt:
    description: Take over a layout of the same form that another tool made.
    type: bool
    default: false
  expect:
    description: Do it only if the link names this release now.
    type: str
  link_path:
    description: Let the link name the one file in the release that matches, instead of its directory.
    type: str
  reason:
    description: Why. It is kept in the history.
    type: str
  supersede:
    description: Switch although another pipe is held and waits for promotion.
    type: bool
    default: false
extends_documentation_fragment:
  - cutover.deploy.tool
  - cutover.deploy.tool.record
"""

EXAMPLES = r"""
---
- name: Let the link name what was made
  cutover.deploy.release_switch:
    record: "{{ made.record }}"

- name: Go back
  cutover.deploy.release_switch:
    root: /srv/shop
    rollback: true
    reason: checkout is slow
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
    """Runs release-switch and ends with its record."""
    module = AnsibleModule(argument_spec=specification("release_switch"), supports_check_mode=True)
    Run(module).tool("release_switch")


if __name__ == "__main__":
    main()
