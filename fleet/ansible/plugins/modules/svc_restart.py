#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wraps svc-restart."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: svc_restart
short_description: Restart the instances of a service in batches, each behind a gate
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Restarts what runs and starts what is stopped, in order. The first failure ends it.
  - Behind an unchanged record it leaves alone what already runs from the release.
  - It wraps C(svc-restart), whose manual page says more of each option.
options:
  instances:
    description: The instances, as their manager calls them.
    type: list
    elements: str
  via:
    description: What supervises them.
    type: str
    choices: [systemd, supervisor, upstart, compose, signal, exec]
  action:
    description: What to do to them.
    type: str
    choices: [restart, reload, start, stop]
  command:
    description: For V(via=exec) the commands, each C(ACTION=COMMAND).
    type: list
    elements: str
  pidfile:
    description: For V(via=signal) and V(via=exec) the file with the process number.
    type: str
  signals:
    description: For V(via=signal) what is sent and waited for.
    type: str
  user:
    description: For V(via=systemd) the caller's own units.
    type: bool
    default: false
  socket:
    description: For V(via=supervisor) its socket.
    type: str
  compose_file:
    description: For V(via=compose) the files of the project.
    type: list
    elements: str
  project:
    description: For V(via=compose) the project's name.
    type: str
  instance_key:
    description: For V(via=upstart) the variable that tells a job's instances apart.
    type: str
  as:
    description: Put this before the commands of the manager, as V(sudo -n).
    type: str
  batch:
    description: How many at a time, such as V(2), V(25%) or V(10%,40%,100%).
    type: str
  parallel:
    description: Take the instances of a batch at the same time.
    type: bool
    default: false
  gate:
    description: A command that must succeed after each batch. It stands in the process list, so it holds no secret.
    type: str
  gate_timeout:
    description: How long a gate may take.
    type: str
  before:
    description: A command before each instance, on the host.
    type: str
  after:
    description: A command after each instance, on the host.
    type: str
  pause:
    description: Wait so long between batches.
    type: str
  stable:
    description: A new process must stay up so long.
    type: str
  timeout:
    description: How long an action of the manager may take.
    type: str
  require:
    description: Targets of svc-health that must be healthy before anything is touched.
    type: list
    elements: str
  best_effort:
    description: A failure is a warning.
    type: bool
    default: false
  hold:
    description: Stop behind the first batch and wait for a promotion. RV(held) is then true, and the task succeeds.
    type: bool
    default: false
  hold_for:
    description: With O(hold), refuse a promotion that comes later than this.
    type: str
  promote:
    description: Go on with the held record in this file on the host, which is C(.cutover/run.json) in the root.
    type: path
  abort:
    description: Turn the held record in this file on the host into a failed one, for the undo stages behind.
    type: path
  undo:
    description: Behind a failed O(record) take back what its pipe restarted.
    type: bool
    default: false
extends_documentation_fragment:
  - cutover.deploy.tool
  - cutover.deploy.tool.record
"""

EXAMPLES = r"""
---
- name: Restart both, each behind its own answer
  cutover.deploy.svc_restart:
    record: "{{ switched.record }}"
    via: systemd
    instances: [shop@1, shop@2]
    gate: svc-health http://127.0.0.1:800{i}/healthz --wait 30s --expect-release
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
    """Runs svc-restart and ends with its record."""
    module = AnsibleModule(argument_spec=specification("svc_restart"), supports_check_mode=True)
    Run(module).tool("svc_restart")


if __name__ == "__main__":
    main()
