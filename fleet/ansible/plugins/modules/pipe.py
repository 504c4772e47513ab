#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs several tools as one deploy."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pipe
short_description: Run a pipe of tools as one isolated deploy
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Runs the stages as one shell pipe under C(release-lock), so nobody else deploys to this root meanwhile.
  - A failed stage stops all later ones, except those that undo; the task then fails with the true cause.
  - It goes on to its end on the host when the connection breaks.
options:
  root:
    required: true
  stages:
    description:
      - The stages in order, each one tool with its options, named as the module of that name names them.
      - Only the first may begin a pipe. Root and link are given once, for all.
    type: list
    elements: dict
    required: true
  archive:
    description:
      - An archive on the controller. It is on the host only while the task runs.
      - The stage release_mk takes it, and needs no C(from).
    type: path
extends_documentation_fragment:
  - cutover.deploy.tool
"""

EXAMPLES = r"""
---
- name: Deploy, and take it back where the gate says no
  vars:
    restart: &restart
      via: systemd
      instances: [shop@1, shop@2]
      gate: svc-health http://127.0.0.1:800{i}/healthz --wait 30s --expect-release
  cutover.deploy.pipe:
    root: /srv/shop
    stages:
      - release_mk: {from: /var/cache/shop-1.4.tar.gz, name: "1.4"}
      - release_switch: {}
      - svc_restart: "{{ restart }}"
      - release_switch: {undo: true}
      - svc_restart: "{{ restart | combine({'undo': true}) }}"
      - release_gc: {keep: 5}
"""

RETURN = r"""
record:
  description: The record of the pipe, as schema C(cutover.record/1) describes it.
  returned: when the pipe ran
  type: dict
  sample: {"schema": "cutover.record/1", "ok": true, "changed": true}
held:
  description: Whether the pipe waits for a promotion.
  returned: when the pipe ran
  type: bool
rc:
  description: The exit status of the pipe, which is that of the stage that failed.
  returned: when the pipe ran
  type: int
stderr_lines:
  description: The last lines that the tools have said.
  returned: on failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cutover.deploy.plugins.module_utils.tool import COMMON, Run


def main() -> None:
    """Runs the pipe and ends with its record."""
    spec = dict(
        COMMON,
        root={"type": "path", "required": True},
        stages={"type": "list", "elements": "dict", "required": True},
        archive={"type": "path"},
    )
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    Run(module).whole_pipe(module.params["stages"])


if __name__ == "__main__":
    main()
