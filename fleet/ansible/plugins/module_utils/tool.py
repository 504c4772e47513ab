# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs a tool, or a pipe of them, and turns record and exit status into an Ansible result.

The options of every tool stand in OPTIONS once: the modules take their argument specifications from there, and a
command line is made from the same table.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

# Spelled as Python 3.8 reads it, which hosts may still have.
Record = t.Dict[str, t.Any]
Spec = t.Dict[str, t.Dict[str, t.Any]]

LIST: Record = {"type": "list", "elements": "str"}
FLAG: Record = {"type": "bool", "default": False}
TEXT: Record = {"type": "str"}
NUMBER: Record = {"type": "int"}

OPTIONS: dict[str, Spec] = {
    "release_mk": {
        "from": {"type": "str", "required": True},
        "ref": TEXT,
        "submodules": FLAG,
        "name": TEXT,
        "exclude": LIST,
        "step": LIST,
        "artifact": LIST,
        "resume": TEXT,
        "if_changed": FLAG,
        "force": FLAG,
        "skip_bad": FLAG,
        "share": LIST,
        "mode": TEXT,
        "owner": TEXT,
        "require_env": LIST,
        "keep_days": NUMBER,
        "reason": TEXT,
        "stamp": TEXT,
        "link_unchanged": FLAG,
        "min_free": TEXT,
        "sha256": TEXT,
        "max_bytes": TEXT,
        "max_files": NUMBER,
        "allow_external_symlinks": FLAG,
    },
    "release_switch": {
        "to": TEXT,
        "rollback": FLAG,
        "good": FLAG,
        "undo": FLAG,
        "adopt": FLAG,
        "expect": TEXT,
        "link_path": TEXT,
        "reason": TEXT,
        "supersede": FLAG,
    },
    "release_gc": {
        "keep": NUMBER,
        "keep_days": NUMBER,
        "keep_unused": TEXT,
        "keep_failed": NUMBER,
        "min_free": TEXT,
        "max_delete": NUMBER,
        "strict": FLAG,
    },
    "release_pin": {
        "id": TEXT,
        "for": TEXT,
        "reason": TEXT,
        "remove": FLAG,
        "list": FLAG,
    },
    "svc_health": {
        "targets": dict(LIST, required=True),
        "wait": TEXT,
        "interval": TEXT,
        "timeout": TEXT,
        "stable": TEXT,
        "passes": dict(NUMBER, no_log=False),
        "fails": NUMBER,
        "expect_status": TEXT,
        "expect_body": LIST,
        "expect_header": LIST,
        "expect_release": FLAG,
        # Ansible writes what a module was given into the host's system log, before the module can refuse it.
        "header": dict(LIST, no_log=True),
        "ca": TEXT,
        "insecure": FLAG,
        "parallel": NUMBER,
    },
    "svc_restart": {
        "instances": LIST,
        "via": {
            "type": "str",
            "choices": ["systemd", "supervisor", "upstart", "compose", "signal", "exec"],
        },
        "action": {"type": "str", "choices": ["restart", "reload", "start", "stop"]},
        "command": LIST,
        "pidfile": TEXT,
        "signals": TEXT,
        "user": FLAG,
        "socket": TEXT,
        "compose_file": LIST,
        "project": TEXT,
        "instance_key": {"type": "str", "no_log": False},
        "as": TEXT,
        "batch": TEXT,
        "parallel": FLAG,
        "gate": TEXT,
        "gate_timeout": TEXT,
        "before": TEXT,
        "after": TEXT,
        "pause": TEXT,
        "stable": TEXT,
        "timeout": TEXT,
        "require": LIST,
        "best_effort": FLAG,
        "hold": FLAG,
        "hold_for": TEXT,
        "promote": {"type": "path"},
        "abort": {"type": "path"},
        "undo": FLAG,
    },
    "svc_route": {
        "via": {"type": "str", "required": True, "choices": ["nginx", "haproxy", "caddy", "traefik"]},
        "slot": dict(LIST, required=True),
        "to": TEXT,
        "pick": FLAG,
        "show": FLAG,
        "undo": FLAG,
        "steps": TEXT,
        "gate": TEXT,
        "gate_timeout": TEXT,
        "pause": TEXT,
        "drain": TEXT,
        "timeout": TEXT,
        "config": TEXT,
        "upstream": TEXT,
        "test": TEXT,
        "reload": TEXT,
        "pidfile": TEXT,
        "standby": FLAG,
        "socket": TEXT,
        "backend": TEXT,
        "state_file": TEXT,
        "admin": TEXT,
        "handler": TEXT,
    },
}

# What each tool takes without an option's name, behind all options.
POSITIONAL = {"release_pin": "id", "svc_health": "targets", "svc_restart": "instances"}

COMMON: Spec = {
    "root": {"type": "path"},
    "link": {"type": "str"},
    "lock_wait": {"type": "str"},
    "tools": {"type": "path"},
}

# Names of header fields that carry a secret. Their values have no place in a process list or in a log of Ansible.
SECRET_FIELD = re.compile(r"^(authorization|proxy-authorization|cookie)$|token|secret|password|api-?key", re.IGNORECASE)
# A name alone is none for ssh; for http it may be a token.
SECRET_IN_URL = re.compile(r"^(https?://[^/@\s]+@|[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]*@)", re.IGNORECASE)

# The lines of a tool's stderr that a failed task shows.
SHOWN_LINES = 20


class Refused(Exception):
    """An option that would be seen where it must not be, or that no tool has."""


def specification(tool: str) -> Spec:
    """The argument specification of the module that wraps one tool."""
    spec = dict(OPTIONS[tool], **COMMON)
    if tool != "release_mk":
        spec["record"] = {"type": "dict"}
    return spec


def arguments(tool: str, options: dict[str, t.Any]) -> list[str]:
    """The command line of a tool, its name first. Every value is joined to its option, so none is taken for one."""
    refuse_secrets(tool, options)
    line = [tool.replace("_", "-")]
    for name, spec in OPTIONS[tool].items():
        value = options.get(name)
        if value is None or value is False or name == POSITIONAL.get(tool):
            continue
        flag = "--" + name.replace("_", "-")
        if spec["type"] == "bool":
            line.append(flag)
        elif spec["type"] == "list":
            line.extend(f"{flag}={one}" for one in value)
        else:
            line.append(f"{flag}={value}")
    rest = options.get(POSITIONAL.get(tool, "")) or []
    rest = [rest] if isinstance(rest, str) else rest
    return line + (["--", *rest] if rest else [])


def refuse_secrets(tool: str, options: dict[str, t.Any]) -> None:
    """Raises Refused where an option's value would show a secret in the process list of the host."""
    for header in options.get("header") or []:
        name, colon, value = header.partition(":")
        if SECRET_FIELD.search(name.strip()) and not value.strip().startswith("@"):
            raise Refused(
                f"the header {name.strip()} has its value in the open: write it into a file that only its reader may "
                f"read, and say '{name.strip()}: @FILE'"
            )
    if tool == "release_mk" and options.get("from") == "-":
        raise Refused("a module has no stdin to read a release from: name a file on the host")
    if tool == "release_mk" and SECRET_IN_URL.match(options.get("from") or ""):
        raise Refused(
            "the source is a URL with a password or a token in it: use a key, or git's credential helper on the host"
        )
    for target in [*(options.get("targets") or []), *(options.get("require") or [])]:
        if SECRET_IN_URL.match(target):
            raise Refused("a target is a URL with a password in it: say it in a header, as 'Authorization: @FILE'")


def is_head(tool: str, options: dict[str, t.Any]) -> bool:
    """Whether a tool with these options begins a pipe by itself."""
    beginnings = {"release_switch": ("to", "rollback"), "svc_restart": ("promote", "abort")}
    return tool == "release_mk" or any(options.get(one) for one in beginnings.get(tool, ()))


def tool_of(name: str) -> str:
    """The tool that a stage names: `release-mk` and `cutover.deploy.release_mk` are release_mk."""
    return name.replace("-", "_").rpartition(".")[2]


def stage(one: dict[str, t.Any]) -> tuple[str, dict[str, t.Any]]:
    """A stage of a pipe, `{release_gc: {keep: 5}}`, as the tool's name and its checked options."""
    if len(one) != 1:
        raise Refused("a stage is one tool with its options, such as {release_gc: {keep: 5}}")
    ((name, given),) = one.items()
    name = tool_of(name)
    if name not in OPTIONS:
        raise Refused(f"there is no tool {name}: " + ", ".join(sorted(OPTIONS)))
    if given is not None and not isinstance(given, dict):
        raise Refused(f"{name}: its options are a dictionary, such as {{keep: 5}}")
    given = {key: value for key, value in (given or {}).items() if value is not None}
    checked = ArgumentSpecValidator(OPTIONS[name]).validate(given)
    if checked.error_messages:
        raise Refused(f"{name}: {checked.error_messages[0]}")
    return name, checked.validated_parameters


def pipe(stages: list[dict[str, t.Any]], dry_run: bool) -> str:
    """A whole pipe as a line of shell, its head planning only where `dry_run` says so."""
    words = []
    for number, (name, options) in enumerate(map(stage, stages)):
        line = arguments(name, options)
        extra = ["--quiet"]
        if number == 0:
            extra += ["--dry-run"] if dry_run else []
            extra += [] if is_head(name, options) else ["--no-record"]
        words.append(shlex.join([line[0], *extra, *line[1:]]))
    return " | ".join(words)


class Run:
    """A tool or a pipe that is run for a module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params
        paths = [self.params["tools"]] if self.params.get("tools") else []
        # A sudo that keeps no PATH knows nothing of /usr/local.
        paths += [os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        self.environment = {"PATH": os.pathsep.join(filter(None, paths))}

    def shared(self) -> list[str]:
        """The options that all tools have."""
        names = [name for name in ("root", "link", "lock_wait") if self.params.get(name)]
        return [f"--{name.replace('_', '-')}={self.params[name]}" for name in names]

    def program(self, name: str) -> str:
        """Where a tool is; a module ends here when it is nowhere."""
        found = self.module.get_bin_path(name, opt_dirs=self.environment["PATH"].split(os.pathsep))
        if not found:
            self.module.fail_json(
                msg=f"{name} is not on this host: the role cutover.deploy.install puts it there", untouched=True
            )
        return found

    def tool(self, tool: str) -> t.NoReturn:
        """Runs one tool and ends the module with what came of it."""
        try:
            line = arguments(tool, self.params)
        except Refused as why:
            self.module.fail_json(msg=str(why), untouched=True)
        extra = ["--quiet", *self.shared()]
        record = self.params.get("record")
        if not is_head(tool, self.params) and not record:
            extra.append("--no-record")
        if self.module.check_mode:
            extra.append("--dry-run")
        data = json.dumps(record, ensure_ascii=False) if record else None
        self.end([self.program(line[0]), *extra, *line[1:]], data)

    def whole_pipe(self, stages: list[dict[str, t.Any]]) -> t.NoReturn:
        """Runs a pipe as one isolated deploy and ends the module with what came of it."""
        try:
            line = pipe(stages, self.module.check_mode)
        except Refused as why:
            self.module.fail_json(msg=str(why), untouched=True)
        for name in [stage(one)[0] for one in stages]:
            self.program(name.replace("_", "-"))
        self.environment["CUTOVER_ROOT"] = self.params["root"]
        if self.params.get("link"):
            self.environment["CUTOVER_LINK"] = self.params["link"]
        shell = ["/bin/sh", "-c", line]
        # A plan locks nothing and makes no root.
        if not self.module.check_mode:
            shell = [self.program("release-lock"), *self.shared(), "--", *shell]
        self.end(shell, None)

    def end(self, line: list[str], data: str | None) -> t.NoReturn:
        """Runs a command line, and ends the module with its record."""
        status, out, err = self.module.run_command(line, data=data, environ_update=self.environment)
        record = last_record(out)
        lines = err.strip().splitlines()[-SHOWN_LINES:]
        wrong = misuse(err)
        if record is None:
            why = wrong or (lines[-1] if lines else "nothing was said")
            self.module.fail_json(msg=f"ended with {status} and without a record: {why}", rc=status, stderr_lines=lines)
        result = outcome(record, status)
        result["diff"] = diff(record)
        if result.pop("failed"):
            # A stage that was called wrongly writes no record; what the stages around it say is what follows from that.
            result["msg"] = wrong or result["msg"]
            self.module.fail_json(rc=status, record=record, stderr_lines=lines, **result)
        self.module.exit_json(rc=status, record=record, **result)


def last_record(out: str) -> Record | None:
    """The record that a pipe has written; none where it was cut off or is something else."""
    lines = out.splitlines()
    if not lines or not out.endswith("\n"):
        return None
    try:
        record = json.loads(lines[-1])
    except ValueError:
        return None
    return record if isinstance(record, dict) and "ok" in record and "stages" in record else None


def misuse(err: str) -> str:
    """What a tool says of a command line that it does not take, as one line; empty where none has said so."""
    lines = err.splitlines()
    at = next((number for number, line in enumerate(lines) if re.match(r"(release|svc)-[a-z]+: error: ", line)), None)
    if at is None:
        return ""
    end = next((number for number, line in enumerate(lines[at:], at) if not line.strip()), len(lines))
    return " ".join(line.strip() for line in lines[at:end])


def outcome(record: Record, status: int) -> dict[str, t.Any]:
    """What Ansible asks of a task: whether it failed, whether it changed something, and what to say."""
    held = bool(record.get("held"))
    result: dict[str, t.Any] = {"changed": bool(record.get("changed")), "failed": False, "held": held}
    if status == 0 or (status == 6 and held):
        return result
    error = record.get("error")
    result["failed"] = True
    if error:
        words = [f"{error.get('tool', 'cutover')}: {error.get('message', 'failed')}"]
        words += [str(error[key]) for key in ("detail", "hint") if error.get(key)]
        result["msg"] = "; ".join(words)
    else:
        # Done, but the record or the disk's answer is in doubt.
        result["msg"] = f"ended with {status}: look at the warnings in the record"
    return result


def diff(record: Record) -> dict[str, str]:
    """What stood and what stands, of the same form whether it was planned or done."""
    before: list[str] = []
    after: list[str] = []
    for link, (was, now) in links(record).items():
        if was != now:
            before.append(f"{link} -> {was or 'nothing'}")
            after.append(f"{link} -> {now or 'nothing'}")
    for one in record["stages"]:
        for path in made(record, one):
            after.append(f"release {path}")
        for path in removed(one):
            before.append(f"release {path}")
    for name, did in restarted(record).items():
        before.append(f"{name}: as it was")
        after.append(f"{name}: {did}")
    return {"before": "".join(f"{line}\n" for line in before), "after": "".join(f"{line}\n" for line in after)}


def links(record: Record) -> dict[str, tuple[str | None, str | None]]:
    """By its path what each link named before the pipe and what it names (would name) behind it."""
    found: dict[str, tuple[str | None, str | None]] = {}
    for one in record["stages"]:
        if one.get("tool") != "release-switch" or not one.get("ok") or not one.get("link"):
            continue
        # What only marks a release says neither whence nor whither.
        if "to" in one:
            first = found.get(one["link"], (one.get("from"), None))[0]
            found[one["link"]] = (first, one["to"])
    return found


def made(record: Record, one: dict[str, t.Any]) -> list[str]:
    """The release that a stage made (would make)."""
    is_made = one.get("tool") == "release-mk" and one.get("ok") and one.get("changed")
    return [record["release"]["id"]] if is_made and record.get("release") else []


def removed(one: dict[str, t.Any]) -> list[str]:
    """The releases that a stage removed (would remove)."""
    return [gone["id"] for gone in one.get("removed", [])] if one.get("tool") == "release-gc" else []


def restarted(record: Record) -> dict[str, str]:
    """What was done (would be done) to each instance, the last of it."""
    did: dict[str, str] = {}
    for one in record["stages"]:
        if one.get("tool") != "svc-restart":
            continue
        for step in one.get("plan", []):
            if step["action"] in ("restart", "reload", "start", "stop"):
                did[step["target"]] = step["action"]
        for instance in one.get("instances", []):
            if instance.get("outcome") not in (None, "untouched", "skipped"):
                did[instance["name"]] = IMPERATIVE.get(instance["outcome"], instance["outcome"])
    return did


IMPERATIVE = {"restarted": "restart", "reloaded": "reload", "started": "start", "stopped": "stop"}
