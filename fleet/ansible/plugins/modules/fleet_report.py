#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What fleet_report says of itself: an action plugin of this name does it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_report
short_description: Write what became of all hosts into a file
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Writes records into a file on the controller, one per line, as C(release-ls --records) reads them.
  - The file is replaced as a whole.
options:
  path:
    description: The file.
    type: path
    required: true
  lines:
    description: The records, each one line of JSON.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: Nothing is written in check mode.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
---
- name: Write the report
  cutover.deploy.fleet_report:
    path: roll.ndjson
    lines: "{{ cutover_told.lines }}"
  run_once: true
"""

RETURN = r"""
path:
  description: The file, from the top.
  returned: always
  type: str
"""
