# Copyright: the cutover developers
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is decided for a fleet as a whole, from what its hosts have said. Pure: data in, data out."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.cutover.deploy.plugins.module_utils.tool import Record, links

Hosts = dict[str, dict[str, t.Any]]

UNREACHABLE = "fleet.unreachable"
NOT_REACHED = "fleet.not_reached"
NO_RECORD = "fleet.no_record"


def several(names: t.Iterable[str], most: int = 5) -> str:
    """Some names, and how many more there are."""
    listed = sorted(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def grouped(hosts: dict[str, str]) -> str:
    """Hosts by what they say, as `h1, h2: v1; h3: v2`."""
    answers: dict[str, list[str]] = {}
    for host, answer in hosts.items():
        answers.setdefault(answer, []).append(host)
    return "; ".join(f"{several(names)}: {answer or 'nothing'}" for answer, names in sorted(answers.items()))


def objections(hosts: Hosts, force: bool = False, same_bytes: bool = True) -> list[str]:
    """Why the roll must not begin, from what was seen on every host."""
    found = []
    lost = [host for host, seen in hosts.items() if seen.get("lost")]
    failed = {host: seen["failed"] for host, seen in hosts.items() if seen.get("failed")}
    bad = [host for host, seen in hosts.items() if seen.get("verdict") == "bad"]
    digests = {host: seen["digest"] for host, seen in hosts.items() if seen.get("digest")}
    if lost:
        found.append(f"unreachable: {several(lost)}")
    if failed:
        found.append(f"failed: {grouped(failed)}")
    if bad and not force:
        found.append(f"this release was bad on {several(bad)}; make another, or insist with cutover_force=true")
    if same_bytes and len(set(digests.values())) > 1:
        found.append(f"the release of this name is not the same everywhere: {grouped(digests)}")
    return found


def after(record: Record | None) -> str:
    """The release that the link names behind a pipe; empty where the record does not say."""
    if not record:
        return ""
    return next((now or "" for was, now in links(record).values()), "")


def is_switched(runs: list[dict[str, t.Any]]) -> bool:
    """Whether a host's deploy came through, so that only the fleet can take it back."""
    record = runs[-1].get("record") if runs else None
    return bool(record and record.get("ok") and record.get("changed") and not record.get("dry_run"))


def goes_back(hosts: Hosts) -> bool:
    """Whether anything is to be taken back: a host has failed, or somebody asked for all to leave."""
    return any(seen.get("failed") or seen.get("leaves") for seen in hosts.values())


def serves(run: dict[str, t.Any] | None) -> bool:
    """Whether a host may be in the balancer: nothing happened to it, or its pipe ended in a known state."""
    if not run or run.get("untouched"):
        return True
    record = run.get("record")
    if not record:
        return False
    return bool(record.get("ok")) or (record.get("error") or {}).get("exit") not in (4, 5)


def blamed(hosts: Hosts) -> bool:
    """Whether any host has said no itself, so that the release is to be marked bad where it is taken back."""
    for seen in hosts.values():
        for run in seen.get("runs", []):
            error = (run.get("record") or {}).get("error")
            while error:
                if error.get("blame") == "release":
                    return True
                error = error.get("cause")
    return False


def landing(hosts: Hosts) -> dict[str, t.Any]:
    """Where a rollback would lead: the one release, or why there is none.

    Asked are the hosts that would go back; those that have gone back by themselves say where they are.
    """
    places: dict[str, str] = {}
    problems: dict[str, str] = {}
    for host, seen in hosts.items():
        runs = seen.get("runs", [])
        last = runs[-1].get("record") if runs else None
        plan = seen.get("plan")
        if plan is not None:
            if plan.get("lost"):
                problems[host] = "unreachable"
            elif plan.get("record") and plan["record"].get("ok"):
                places[host] = after(plan["record"])
            else:
                problems[host] = plan.get("msg") or "no answer"
        elif last and not last.get("ok") and serves(runs[-1]) and after(last):
            places[host] = after(last)
    problem = ""
    if len(set(places.values())) > 1:
        problem = f"these hosts would land on different releases: {grouped(places)}"
    elif problems and not places:
        problem = f"there is nowhere to go back to: {grouped(problems)}"
    elif any(why != "unreachable" for why in problems.values()):
        problem = (
            f"some hosts cannot go back: {grouped(problems)}; the others would land on {next(iter(places.values()))}"
        )
    return {"to": "" if problem else next(iter(places.values()), ""), "problem": problem}


def entry(host: str, roll: str, root: str, code: str, message: str, status: int) -> Record:
    """A record for a host that has written none itself."""
    return {
        "schema": "cutover.record/1",
        "ok": False,
        "changed": False,
        "dry_run": False,
        "pipe": roll,
        "host": host,
        "root": root,
        "stages": [],
        "error": {"tool": "fleet", "code": code, "message": message, "exit": status, "retryable": True},
    }


def report(hosts: Hosts, roll: str, root: str) -> list[str]:
    """One line of JSON for each record of each host, in the order of the hosts; a host without one gets one."""
    lines = []
    for host, seen in hosts.items():
        records = []
        for run in seen.get("runs", []):
            if run.get("record"):
                records.append(run["record"])
            elif run.get("lost"):
                records.append(entry(host, roll, root, UNREACHABLE, "unreachable: its state is not known", 1))
            else:
                records.append(entry(host, roll, root, NO_RECORD, run.get("msg") or "no record", 1))
        if not records:
            if seen.get("lost"):
                records.append(entry(host, roll, root, UNREACHABLE, "unreachable before the roll began", 1))
            elif seen.get("failed"):
                records.append(entry(host, roll, root, NO_RECORD, seen["failed"], 1))
            elif seen.get("record") and not seen.get("changes", True):
                records.append(seen["record"])
            else:
                records.append(entry(host, roll, root, NOT_REACHED, "untouched: the roll had stopped before", 1))
        lines += [json.dumps(dict(one, known_as=host), ensure_ascii=False) for one in records]
    return lines


def fate(seen: dict[str, t.Any]) -> str:
    """What became of a host, in a word or two."""
    runs = seen.get("runs", [])
    if not runs:
        if seen.get("lost"):
            return "unreachable"
        if seen.get("failed"):
            return "failed"
        return "not reached" if seen.get("changes", True) else "unchanged"
    last = runs[-1]
    record = last.get("record")
    if not record:
        return "unreachable" if last.get("lost") else "failed"
    if record.get("dry_run"):
        return "would change" if record.get("changed") else "unchanged"
    if not record.get("ok"):
        if not serves(last):
            return "in doubt"
        return "taken back" if record.get("changed") else "failed"
    if last.get("what") == "back":
        return "taken back"
    return "deployed" if record.get("changed") else "unchanged"


def summary(hosts: Hosts) -> str:
    """How many hosts came to what, as `2 taken back, 1 not reached`, with the names of the few."""
    fates: dict[str, list[str]] = {}
    for host, seen in hosts.items():
        fates.setdefault(fate(seen), []).append(host)
    return "; ".join(f"{len(names)} {what} ({several(names)})" for what, names in fates.items())


def failures(hosts: Hosts) -> list[str]:
    """Why the roll has failed, a line per host; the first of them at most."""
    found = [f"{host}: {seen['failed']}" for host, seen in hosts.items() if seen.get("failed")]
    return found[:20] + ([f"and {len(found) - 20} more"] if len(found) > 20 else [])


class FilterModule:
    """The filters cutover.deploy.*."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By their names."""
        return {
            "objections": objections,
            "is_switched": is_switched,
            "goes_back": goes_back,
            "serves": serves,
            "blamed": blamed,
            "landing": landing,
            "report": report,
            "summary": summary,
            "failures": failures,
        }
