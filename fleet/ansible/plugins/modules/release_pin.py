#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wraps release-pin."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_pin
short_description: Keep a release until a date, with a reason
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Sets, changes, removes or lists pins. A pinned release is never collected.
  - It wraps C(release-pin), whose manual page says more of each option.
options:
  id:
    description: The release; without it the record's.
    type: str
  for:
    description: Keep it for so long from now on, such as V(10days).
    type: str
  reason:
    description: Why. A new pin needs one.
    type: str
  remove:
    description: Take the pin away.
    type: bool
    default: false
  list:
    description: List the pins in RV(record).
    type: bool
    default: false
extends_documentation_fragment:
  - cutover.deploy.tool
  - cutover.deploy.tool.record
"""

EXAMPLES = r"""
---
- name: Keep one for the auditors
  cutover.deploy.release_pin:
    root: /srv/shop
    id: "1.4"
    for: 90days
    reason: audit
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
    """Runs release-pin and ends with its record."""
    module = AnsibleModule(argument_spec=specification("release_pin"), supports_check_mode=True)
    Run(module).tool("release_pin")


if __name__ == "__main__":
    main()
