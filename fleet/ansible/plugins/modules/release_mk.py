#!/usr/bin/python
# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wraps release-mk."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_mk
short_description: Make a release on a host
version_added: 0.1.0
author: The cutover developers (@cutover)
description:
  - Makes a release out of a directory, a file, an archive or a git revision that the host can read.
  - A release is whole and durable, or not there at all.
  - It wraps C(release-mk), whose manual page says more of each option.
options:
  from:
    description: A directory, a file or an archive on the host, or with O(ref) a git repository.
    type: str
    required: true
  ref:
    description: The branch, tag or commit of a git repository.
    type: str
  submodules:
    description: With O(ref) fetch the submodules of that commit too.
    type: bool
    default: false
  name:
    description: The name of the release. A fleet gives all hosts the same one.
    type: str
  exclude:
    description: Leave out what matches.
    type: list
    elements: str
  step:
    description: Steps of a build, each C(NAME=COMMAND), run in the tree before it becomes a release.
    type: list
    elements: str
  artifact:
    description: Keep only what matches of what was built.
    type: list
    elements: str
  resume:
    description: Go on with this unfinished build, all other options as before.
    type: str
  if_changed:
    description: Build only if the source or the options that change the release differ from the live one's.
    type: bool
    default: false
  force:
    description: With O(if_changed), build in any case.
    type: bool
    default: false
  skip_bad:
    description: With O(if_changed), pass over a source that made a bad release.
    type: bool
    default: false
  share:
    description: Link each path to the one of the same name in C(shared/).
    type: list
    elements: str
  mode:
    description: The mode of directories that O(share) makes, in octal.
    type: str
  owner:
    description: The owner of directories that O(share) makes.
    type: str
  require_env:
    description: Refuse unless a file sets these variables, each C(FILE:VAR,...).
    type: list
    elements: str
  keep_days:
    description: Pin the release for so many days.
    type: int
  reason:
    description: Why it is pinned.
    type: str
  stamp:
    description: Write id, time and source into this file of the release.
    type: str
  link_unchanged:
    description: Hard links to the live release's files where they are the same.
    type: bool
    default: false
  min_free:
    description: Refuse unless so much stays free on the disk, such as V(500M).
    type: str
  sha256:
    description: Refuse unless the archive or file has this digest.
    type: str
  max_bytes:
    description: Refuse an archive that unpacks to more.
    type: str
  max_files:
    description: Refuse an archive of more entries.
    type: int
  allow_external_symlinks:
    description: Take symlinks of an archive that are absolute or lead out of the tree.
    type: bool
    default: false
extends_documentation_fragment:
  - cutover.deploy.tool
"""

EXAMPLES = r"""
---
- name: Make the release from an archive that was copied there
  cutover.deploy.release_mk:
    root: /srv/shop
    from: /var/cache/shop-1.4.tar.gz
    name: "1.4"
  register: made
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
    """Runs release-mk and ends with its record."""
    module = AnsibleModule(argument_spec=specification("release_mk"), supports_check_mode=True)
    Run(module).tool("release_mk")


if __name__ == "__main__":
    main()
