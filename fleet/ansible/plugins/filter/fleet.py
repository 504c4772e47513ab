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


def gathered(hosts: list[str], hostvars: t.Mapping[str, t.Any]) -> Hosts:
    """What is known of each host: what was noted when all were looked at, and what its pipes have answered."""
    found: Hosts = {}
    for host in hosts:
        known = hostvars[host]
        # A host that has dropped out before anything was noted must stop the roll, not be left out of it.
        one = dict(known.get("cutover_host") or {"failed": "it dropped out before it was asked"})
        one["failed"] = known.get("cutover_failed") or one.get("failed", "")
        runs = ran("deploy", known.get("cutover_piped")), ran("back", known.get("cutover_backed"))
        one["runs"] = [run for run in runs if run]
        plan = ran("plan", known.get("cutover_landing"))
        if plan:
            one["plan"] = plan
        found[host] = one
    return found


def ran(what: str, result: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """A pipe by what its task has registered; empty where the task was passed over."""
    if not result or result.get("skipped"):
        return {}
    return {
        "what": what,
        "record": result.get("record") or {},
        "lost": bool(result.get("unreachable")),
        "msg": result.get("msg") or "",
        # Only who can tell says so: nothing was started on the host.
        "untouched": bool(result.get("untouched")),
    }


def has_failed(hosts: Hosts) -> bool:
    """Whether any host has, so that no further batch begins."""
    return any(one.get("failed") for one in hosts.values())


def share(of: int, part: t.Any) -> int:
    """A number of hosts, given as one or as a percentage, as Ansible counts them: rounded down, but one at least."""
    text = str(part).strip()
    number = int(float(text[:-1]) / 100 * of) if text.endswith("%") else int(text)
    return max(number, 1)


def batches(steps: t.Any, hosts: int, most: t.Any = "100%") -> list[int]:
    """The sizes of all batches: the steps of `serial`, the last repeated, none above what may be out at once."""
    steps = list(steps) if isinstance(steps, (list, tuple)) else [steps]
    cap = share(hosts, most)
    sizes: list[int] = []
    left = hosts
    while left > 0:
        step = min(share(hosts, steps.pop(0) if len(steps) > 1 else steps[0]), left)
        left -= step
        sizes += [cap] * (step // cap) + ([step % cap] if step % cap else [])
    return sizes or [1]


def objections(hosts: Hosts, force: bool = False, same_bytes: bool = True, has_source: bool = True) -> list[str]:
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
    absent = [host for host, seen in hosts.items() if not (seen.get("here") or seen.get("lost") or seen.get("failed"))]
    if absent and not has_source:
        found.append(f"there is no release of this name on {several(absent)}, and no cutover_source to make it from")
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


def is_switched(result: t.Mapping[str, t.Any] | None) -> bool:
    """Whether a host's deploy came through, so that only the fleet can take it back; from what its task registered."""
    record = ran("deploy", result).get("record")
    return bool(record and record.get("ok") and record.get("changed") and not record.get("dry_run"))


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
        problem = (
            f"these hosts would land on different releases: {grouped(places)}; "
            "the playbook rollback takes all to the one that cutover_back_to names"
        )
    elif problems and not places:
        problem = f"there is nowhere to go back to: {grouped(problems)}"
    elif any(why != "unreachable" for why in problems.values()):
        problem = (
            f"some hosts cannot go back: {grouped(problems)}; the others would land on {next(iter(places.values()))}"
        )
    return {"to": "" if problem else next(iter(places.values()), ""), "problem": problem}


def unchanged(host: str, roll: str, root: str) -> Record:
    """A record for a host that was where it should be."""
    return {
        "schema": "cutover.record/1",
        "ok": True,
        "changed": False,
        "dry_run": False,
        "pipe": roll,
        "host": host,
        "root": root,
        "stages": [],
    }


def entry(host: str, roll: str, root: str, code: str, message: str) -> Record:
    """A record for a host that has written none itself, and says why."""
    error = {"tool": "fleet", "code": code, "message": message, "exit": 1, "retryable": True}
    return dict(unchanged(host, roll, root), ok=False, error=error)


def report(hosts: Hosts, roll: str, root: str) -> list[str]:
    """One line of JSON for each record of each host, in the order of the hosts; a host without one gets one."""
    lines = []
    for host, seen in hosts.items():
        records = []
        for run in seen.get("runs", []):
            if run.get("record"):
                records.append(run["record"])
            elif run.get("lost"):
                records.append(entry(host, roll, root, UNREACHABLE, "unreachable: its state is not known"))
            else:
                records.append(entry(host, roll, root, NO_RECORD, run.get("msg") or "no record"))
        if not records:
            if seen.get("lost"):
                records.append(entry(host, roll, root, UNREACHABLE, "unreachable before the roll began"))
            elif seen.get("failed"):
                records.append(entry(host, roll, root, NO_RECORD, seen["failed"]))
            elif not seen.get("changes", True):
                records.append(seen.get("record") or unchanged(host, roll, root))
            else:
                records.append(entry(host, roll, root, NOT_REACHED, "untouched: the roll had stopped before"))
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
        if last.get("what") == "back":
            return "not taken back"
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


def told(hosts: Hosts, roll: str, root: str) -> dict[str, t.Any]:
    """All that is said at the end of a roll: the lines of the report, the summary, and why it has failed."""
    return {"lines": report(hosts, roll, root), "summary": summary(hosts), "failures": failures(hosts)}


def failures(hosts: Hosts) -> list[str]:
    """Why the roll has failed, a line per host; the first of them at most."""
    found = [f"{host}: {seen['failed']}" for host, seen in hosts.items() if seen.get("failed")]
    return found[:20] + ([f"and {len(found) - 20} more"] if len(found) > 20 else [])


class FilterModule:
    """The filters cutover.deploy.*."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By their names."""
        return {
            "gathered": gathered,
            "batches": batches,
            "has_failed": has_failed,
            "objections": objections,
            "is_switched": is_switched,
            "may_serve": lambda result: serves(ran("", result)),
            "blamed": blamed,
            "landing": landing,
            "told": told,
        }
