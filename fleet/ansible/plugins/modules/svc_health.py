#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wraps svc-health."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: svc_health
short_description: Ask whether a service is healthy, and wait until it is
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Asks targets and fails unless all of them are healthy. It changes nothing.
  - It wraps C(svc-health), whose manual page says more of each option.
options:
  targets:
    description: What to ask, such as V(http://127.0.0.1:8001/healthz), V(tcp://127.0.0.1:5432) or V(systemd:shop@1).
    type: list
    elements: str
    required: true
  wait:
    description: Wait so long for all of them to become healthy.
    type: str
  interval:
    description: From the begin of one attempt to the next.
    type: str
  timeout:
    description: Give an attempt up after so long.
    type: str
  stable:
    description: Healthy is what passes for so long without a break.
    type: str
  passes:
    description: Healthy is what passes so often in a row.
    type: int
  fails:
    description: Unhealthy is what fails so often in a row.
    type: int
  expect_status:
    description: Statuses that pass, as V(200-299,401).
    type: str
  expect_body:
    description: The body contains each text, or matches C(/REGEX/).
    type: list
    elements: str
  expect_header:
    description: "The answer has each field, C(NAME) or C(NAME: TEXT)."
    type: list
    elements: str
  expect_release:
    description: Whoever answers runs from the record's release, or from what O(root) and O(link) name.
    type: bool
    default: false
  header:
    description: Fields to send. A secret is refused unless its value is C(@FILE), a file on the host.
    type: list
    elements: str
  ca:
    description: Believe only the certificate authorities in this file.
    type: str
  insecure:
    description: Believe any certificate.
    type: bool
    default: false
  parallel:
    description: Ask at most so many targets at the same time.
    type: int
extends_documentation_fragment:
  - cutover.deploy.tool
  - cutover.deploy.tool.record
"""

EXAMPLES = r"""
---
- name: Wait until both instances serve the live release
  cutover.deploy.svc_health:
    root: /srv/shop
    targets: [http://127.0.0.1:8001/healthz, http://127.0.0.1:8002/healthz]
    wait: 30s
    expect_release: true
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
    """Runs svc-health and ends with its record."""
    module = AnsibleModule(argument_spec=specification("svc_health"), supports_check_mode=True)
    Run(module).tool("svc_health")


if __name__ == "__main__":
    main()
