#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wraps release-ls."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_ls
short_description: Tell which releases a host has and which one is live
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Reads the releases of a root. It changes nothing, and takes no lock.
  - It wraps C(release-ls), whose manual page says more.
options:
  root:
    required: true
  name:
    description: Tell of this release in RV(release).
    type: str
extends_documentation_fragment:
  - cutover.deploy.tool
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
"""

EXAMPLES = r"""
---
- name: Look what is live
  cutover.deploy.release_ls:
    root: /srv/shop
  register: shop
"""

RETURN = r"""
exists:
  description: Whether there is a root at all.
  returned: always
  type: bool
current:
  description: The release that the link names; empty where it names none.
  returned: always
  type: str
previous:
  description: The release that a rollback would go to; empty where there is none.
  returned: always
  type: str
releases:
  description: One entry per release, newest first, as C(release-ls --json) prints them.
  returned: when O(name) is not given
  type: list
  elements: dict
release:
  description: The entry of the release that O(name) names; empty where there is none.
  returned: when O(name) is given
  type: dict
"""

import json
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cutover.deploy.plugins.module_utils.tool import COMMON, Run


def named(releases: list[dict[str, t.Any]], member: str, link: str) -> str:
    """The release whose member lists a link."""
    return next((one["id"] for one in releases if link in one[member]), "")


def main() -> None:
    """Reads the root and ends with what is in it."""
    spec = dict(COMMON, root={"type": "path", "required": True}, name={"type": "str"})
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    run = Run(module)
    line = [run.program("release-ls"), "--quiet", "--json", *run.shared()]
    status, out, err = module.run_command(line, environ_update=run.environment)
    # release-ls says so on stderr alone, because it writes no record.
    if status == 1 and ("there is no root at" in err or "is no root yet" in err):
        out = ""
    elif status != 0:
        module.fail_json(msg=err.strip() or f"release-ls ended with {status}", rc=status)
    releases = [json.loads(text) for text in out.splitlines()]
    link = module.params["link"] or "current"
    name = module.params["name"]
    if name:
        found: dict[str, t.Any] = {"release": next((one for one in releases if one["id"] == name), {})}
    else:
        found = {"releases": releases}
    module.exit_json(
        changed=False,
        exists=status == 0,
        current=named(releases, "current", link),
        previous=named(releases, "previous", link),
        **found,
    )


if __name__ == "__main__":
    main()
