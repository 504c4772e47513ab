#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wraps svc-route."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: svc_route
short_description: Move traffic between the slots of a service
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Moves traffic between two places in which a service can run, and waits until the change serves.
  - It wraps C(svc-route), whose manual page says more of each option.
options:
  via:
    description: The proxy.
    type: str
    required: true
    choices: [nginx, haproxy, caddy, traefik]
  slot:
    description: The slots and where they listen, each C(NAME=ADDRESS).
    type: list
    elements: str
    required: true
  to:
    description: Give this slot the traffic, C(SLOT), C(SLOT=WEIGHT) or V(idle).
    type: str
  pick:
    description: Put the live and the idle slot into the record.
    type: bool
    default: false
  show:
    description: Show which slot has how much traffic.
    type: bool
    default: false
  undo:
    description: Behind a failed O(record) give every slot the traffic it had before.
    type: bool
    default: false
  steps:
    description: Move the traffic step by step, such as V(10%,50%,100%).
    type: str
  gate:
    description: A command that must succeed after each move. It stands in the process list, so it holds no secret.
    type: str
  gate_timeout:
    description: How long the gate may take.
    type: str
  pause:
    description: How long to wait between steps.
    type: str
  drain:
    description: How long the slot that lost its traffic may take to finish what it began.
    type: str
  timeout:
    description: How long the proxy may take to serve the change.
    type: str
  config:
    description: For V(via=nginx) and V(via=traefik) the file that holds this upstream or service.
    type: str
  upstream:
    description: For V(via=nginx) and V(via=traefik) the name of the upstream or service.
    type: str
  test:
    description: For V(via=nginx) the command that checks the configuration.
    type: str
  reload:
    description: For V(via=nginx) the command that loads it.
    type: str
  pidfile:
    description: For V(via=nginx) the pid file of its master process.
    type: str
  standby:
    description: For V(via=nginx) let a slot without traffic stand by.
    type: bool
    default: false
  socket:
    description: For V(via=haproxy) the socket of its runtime API.
    type: str
  backend:
    description: For V(via=haproxy) the backend, whose servers are named like the slots.
    type: str
  state_file:
    description: For V(via=haproxy) write the servers' state here after each change.
    type: str
  admin:
    description: For V(via=caddy) and V(via=traefik) the address of the admin API.
    type: str
  handler:
    description: For V(via=caddy) the C(@id) of the handler of the reverse proxy.
    type: str
extends_documentation_fragment:
  - cutover.deploy.tool
  - cutover.deploy.tool.record
"""

EXAMPLES = r"""
---
- name: Give the idle slot the traffic
  cutover.deploy.svc_route:
    via: haproxy
    socket: /run/haproxy/admin.sock
    backend: shop
    slot: [blue=127.0.0.1:8001, green=127.0.0.1:8002]
    to: idle
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
    """Runs svc-route and ends with its record."""
    module = AnsibleModule(argument_spec=specification("svc_route"), supports_check_mode=True)
    Run(module).tool("svc_route")


if __name__ == "__main__":
    main()
