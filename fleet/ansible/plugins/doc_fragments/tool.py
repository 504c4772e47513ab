# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the modules say of the options, attributes and results they share."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragments cutover.deploy.tool, .record and .returned."""

    DOCUMENTATION = r"""
options:
  root:
    description: The root, which is the directory with C(releases/), C(shared/) and the link.
    type: path
  link:
    description: The link that says which release is live; C(current) where it is not given.
    type: str
  lock_wait:
    description: How long to wait for a lock that somebody else holds, such as V(60s).
    type: str
  tools:
    description: The directory on the host in which the tools are, where that is not in its C(PATH).
    type: path
attributes:
  check_mode:
    description: With C(--check) the tool is run with C(--dry-run), which locks and writes nothing.
    support: full
  diff_mode:
    description: Links, releases and instances before and after, of the same form whether planned or done.
    support: full
"""

    RECORD = r"""
options:
  record:
    description:
      - The record of the tool before, as its task returned it; without it the tool runs alone.
      - A failed record does nothing here but drive an undo.
    type: dict
"""
