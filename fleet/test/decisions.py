"""What is decided for a fleet, as tables: python -m unittest with ansible_collections on the path."""

from __future__ import annotations

import ast
import json
import re
import unittest
from pathlib import Path
from typing import Any

from ansible_collections.cutover.deploy.plugins.filter import fleet
from ansible_collections.cutover.deploy.plugins.module_utils import tool

Json = dict[str, Any]
TOP = Path(__file__).resolve().parents[2]
MANUAL = TOP / "docs/man"


def switch(before: str, after: str, **more: Any) -> Json:
    """A stage of release-switch."""
    return {
        "tool": "release-switch",
        "ok": True,
        "changed": True,
        "link": "/r/current",
        "from": before,
        "to": after,
        **more,
    }


def record(*stages: Json, **more: Any) -> Json:
    """A record that came through."""
    return {"ok": True, "changed": True, "dry_run": False, "host": "x", "pipe": "p", "stages": list(stages), **more}


def failed(*stages: Json, status: int = 3, **error: Any) -> Json:
    """A record that did not."""
    return record(*stages, ok=False, error={"exit": status, **error})


def deployed() -> list[Json]:
    """The runs of a host that was switched from v1 to v2."""
    return [{"what": "deploy", "record": record(switch("v1", "v2"))}]


def plan(after: str) -> Json:
    """The answer of a host that would go back."""
    return {"record": record(switch("v2", after), dry_run=True), "lost": False, "msg": ""}


class Landing(unittest.TestCase):
    """Before anybody goes back, all have to name one release."""

    def test_hosts_that_agree_go_back(self) -> None:
        """The host that took itself back is asked by what it did."""
        own = [{"what": "deploy", "record": failed(switch("v1", "v2"), switch("v2", "v1", undo=True))}]
        hosts = {"a": {"runs": deployed(), "plan": plan("v1")}, "b": {"runs": own, "failed": "no"}, "c": {"runs": []}}
        self.assertEqual(fleet.landing(hosts), {"to": "v1", "problem": ""})

    def test_hosts_that_differ_do_not(self) -> None:
        """Neither two that would go, nor one that would go and one that has gone."""
        own = [{"what": "deploy", "record": failed(switch("v0", "v2"), switch("v2", "v0", undo=True))}]
        for other in ({"runs": deployed(), "plan": plan("v0")}, {"runs": own}):
            found = fleet.landing({"a": {"runs": deployed(), "plan": plan("v1")}, "b": other})
            self.assertEqual(found["to"], "")
            self.assertIn("a: v1", found["problem"])
            self.assertIn("b: v0", found["problem"])

    def test_a_host_without_a_past_keeps_all_where_they_are(self) -> None:
        """The first deploy has nowhere to go back to."""
        nowhere = {"record": failed(status=69), "lost": False, "msg": "no candidate"}
        found = fleet.landing(
            {"a": {"runs": deployed(), "plan": plan("v1")}, "b": {"runs": deployed(), "plan": nowhere}}
        )
        self.assertEqual(found["to"], "")
        self.assertIn("no candidate", found["problem"])

    def test_a_host_that_is_lost_does_not_hold_the_others(self) -> None:
        """Nothing can be done on it anyway."""
        lost = {"record": {}, "lost": True, "msg": ""}
        found = fleet.landing({"a": {"runs": deployed(), "plan": plan("v1")}, "b": {"runs": deployed(), "plan": lost}})
        self.assertEqual(found, {"to": "v1", "problem": ""})


class Objections(unittest.TestCase):
    """Why nothing is begun."""

    def test_each_has_its_words(self) -> None:
        """And a fleet of which nothing is wrong has none."""
        well = {"lost": False, "failed": "", "digest": "d1", "verdict": "never"}
        self.assertEqual(fleet.objections({"a": well, "b": well}), [])
        cases = [
            ({"lost": True}, "unreachable: b"),
            ({"failed": "release-ls is not on this host"}, "b: release-ls is not on this host"),
            ({"verdict": "bad"}, "bad on b"),
            ({"digest": "d2"}, "not the same everywhere"),
        ]
        for wrong, words in cases:
            (found,) = fleet.objections({"a": well, "b": dict(well, **wrong)})
            self.assertIn(words, found)
        self.assertEqual(fleet.objections({"a": dict(well, verdict="bad")}, force=True), [])
        (found,) = fleet.objections({"a": dict(well, here=True), "b": well}, has_source=False)
        self.assertIn("no release of this name on b,", found)
        self.assertEqual(fleet.objections({"a": well, "b": dict(well, digest="d2")}, same_bytes=False), [])


class Gathered(unittest.TestCase):
    """From the variables of the hosts to what is known of them."""

    def test_what_tasks_have_registered_becomes_runs(self) -> None:
        """A task that was passed over is none."""
        told = {"rc": 0, "record": record(switch("v1", "v2"))}
        hostvars: dict[str, Json] = {
            "a": {"cutover_host": {"current": "v1"}, "cutover_piped": told, "cutover_backed": {"skipped": True}},
            "b": {
                "cutover_host": {},
                "cutover_failed": "no",
                "cutover_piped": {"failed": True, "untouched": True, "msg": "no tool"},
            },
            "c": {
                "cutover_host": {"lost": False},
                "cutover_piped": {"unreachable": True, "failed": True, "msg": "gone"},
            },
        }
        found = fleet.gathered(list(hostvars), hostvars)
        self.assertEqual([run["record"] for run in found["a"]["runs"]], [told["record"]])
        self.assertEqual((found["a"]["failed"], found["b"]["failed"]), ("", "no"))
        self.assertTrue(found["b"]["runs"][0]["untouched"])
        self.assertTrue(found["c"]["runs"][0]["lost"] and not found["c"]["runs"][0]["untouched"])
        self.assertTrue(fleet.is_switched(told))
        self.assertFalse(fleet.is_switched({"skipped": True}) or fleet.is_switched({}))

    def test_a_host_that_dropped_out_stops_the_roll(self) -> None:
        """It has noted nothing, not even that it failed."""
        found = fleet.gathered(["a", "b"], {"a": {"cutover_host": {"current": "v1"}}, "b": {}})
        (objection,) = fleet.objections(found)
        self.assertIn("b: it dropped out", objection)


class Batches(unittest.TestCase):
    """How many hosts at a time."""

    def test_as_ansible_counts_where_nobody_is_out(self) -> None:
        """Percentages are of all hosts, rounded down, at least one; the last step repeats."""
        usual = [1, "30%", "100%"]
        for hosts, sizes in ((1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (10, [1, 3, 6]), (1000, [1, 300, 699])):
            self.assertEqual(fleet.batches(usual, hosts), sizes)
        self.assertEqual(fleet.batches([1, "10%"], 40), [1] + [4] * 9 + [3])
        self.assertEqual(fleet.batches("50%", 4), [2, 2])

    def test_no_batch_takes_out_more_than_may_be_out(self) -> None:
        """And every host is in one, whatever the fleet's size: a law, tried on many."""
        for hosts in range(1, 400):
            for most in ("30%", "25%", "100%", 1, "7"):
                for steps in ([1, "30%", "100%"], ["100%"], [5, 2]):
                    sizes = fleet.batches(steps, hosts, most)
                    self.assertEqual(sum(sizes), hosts)
                    self.assertLessEqual(max(sizes), fleet.share(hosts, most))
                    self.assertEqual(sizes[0] == 1, steps[0] == 1 or fleet.share(hosts, most) == 1 or hosts == 1)
        self.assertEqual(fleet.batches([1, "30%", "100%"], 10, "30%"), [1, 3, 3, 3])
        self.assertEqual(fleet.batches([1, "30%", "100%"], 1000, "30%"), [1, 300, 300, 300, 99])


class Blame(unittest.TestCase):
    """Only a release's own no marks it bad on the other hosts."""

    def test_a_no_counts_also_below_an_undo_that_failed(self) -> None:
        """A busy lock or a lost host does not."""
        no = failed(blame="release")
        below = failed(status=5, cause={"exit": 3, "blame": "release"})
        for one, wanted in ((no, True), (below, True), (failed(status=75), False), (record(), False)):
            self.assertEqual(fleet.blamed({"a": {"runs": [{"record": one}]}}), wanted)
        self.assertFalse(fleet.blamed({"a": {"runs": [{"record": {}, "lost": True}]}}))

    def test_what_may_serve(self) -> None:
        """A host in an unknown state stays out of the balancer."""
        for run, wanted in (
            (None, True),
            ({"untouched": True}, True),
            ({"record": record()}, True),
            ({"record": failed()}, True),
            ({"record": failed(status=5)}, False),
            ({"record": failed(status=4)}, False),
            ({"record": {}, "lost": True}, False),
        ):
            self.assertEqual(fleet.serves(run), wanted, run)


class Report(unittest.TestCase):
    """Every host has a line, whatever became of it."""

    def test_a_host_without_a_record_gets_one(self) -> None:
        """With a code that says why."""
        hosts = {
            "a": {"runs": deployed() + [{"what": "back", "record": record(switch("v2", "v1"))}]},
            "b": {"runs": [{"what": "deploy", "record": {}, "lost": True}]},
            "c": {"runs": [], "changes": True},
            "d": {"runs": [], "changes": False, "record": record(changed=False, dry_run=True)},
            "e": {"runs": [], "lost": True},
            "f": {"runs": [], "changes": False},
            "g": {"runs": [{"what": "back", "record": failed(switch("v2", "v1"), switch("v1", "v2", undo=True))}]},
        }
        lines = [json.loads(line) for line in fleet.report(hosts, "roll", "/srv/shop")]
        self.assertEqual([line["known_as"] for line in lines], ["a", "a", "b", "c", "d", "e", "f", "g"])
        codes = [line.get("error", {}).get("code") for line in lines]
        unreachable = "fleet.unreachable"
        self.assertEqual(codes, [None, None, unreachable, "fleet.not_reached", None, unreachable, None, None])
        self.assertEqual(fleet.fate(hosts["g"]), "not taken back")
        self.assertEqual(fleet.summary({"a": hosts["a"], "c": hosts["c"]}), "1 taken back (a); 1 not reached (c)")


class CommandLines(unittest.TestCase):
    """From options to command lines."""

    def test_a_value_is_never_taken_for_an_option(self) -> None:
        """Nor for shell."""
        line = tool.pipe(
            [{"release_mk": {"from": "--help; rm -rf /", "name": "$(id)"}}, {"release_gc": {"keep": 2}}], True
        )
        wanted = "release-mk --quiet --dry-run '--from=--help; rm -rf /' '--name=$(id)' | release-gc --quiet --keep=2"
        self.assertEqual(line, wanted)

    def test_only_what_begins_a_pipe_reads_no_record(self) -> None:
        """Rollbacks begin one, plain switches do not."""
        restart = {"svc_restart": {"via": "systemd", "instances": ["-x"]}}
        self.assertEqual(tool.pipe([restart], False), "svc-restart --quiet --no-record --via=systemd -- -x")
        self.assertEqual(
            tool.pipe([{"release_switch": {"rollback": True}}, {"release_switch": {"undo": True}}], False),
            "release-switch --quiet --rollback | release-switch --quiet --undo",
        )

    def test_secrets_are_refused(self) -> None:
        """Their place is a file on the host."""
        for name, options in (
            ("svc_health", {"targets": ["x"], "header": ["Authorization: Bearer abc"]}),
            ("svc_health", {"targets": ["x"], "header": ["X-Api-Key: abc"]}),
            ("release_mk", {"from": "https://me:secret@example.org/shop.git"}),
            ("release_mk", {"from": "https://secret@example.org/shop.git"}),
            ("svc_health", {"targets": ["http://me:secret@shop/healthz"]}),
            ("svc_restart", {"require": ["http://me:secret@shop/healthz"]}),
        ):
            with self.assertRaises(tool.Refused) as refused:
                tool.arguments(name, options)
            self.assertNotIn("abc", str(refused.exception))
            self.assertNotIn("secret@", str(refused.exception))
        allowed = {"targets": ["x"], "header": ["Authorization: @/etc/shop/token", "Host: shop"]}
        self.assertIn("--header=Authorization: @/etc/shop/token", tool.arguments("svc_health", allowed))
        self.assertIn(
            "--from=ssh://git@shop/shop.git", tool.arguments("release_mk", {"from": "ssh://git@shop/shop.git"})
        )
        # The log of the host has it before the module can refuse it, but for this.
        self.assertTrue(tool.OPTIONS["svc_health"]["header"]["no_log"])

    def test_a_stage_nobody_has_is_refused(self) -> None:
        """As is an option no tool has."""
        for wrong in (
            {"rm": {}},
            {"release_gc": {"kep": 2}},
            {"release_gc": {}, "release_pin": {}},
            {},
            {"release_gc": 5},
        ):
            with self.assertRaises(tool.Refused):
                tool.pipe([wrong], False)

    def test_the_modules_have_the_options_of_the_manual(self) -> None:
        """But for what prints no record, and what a module settles itself."""
        everywhere = {
            "root",
            "link",
            "lock_wait",
            "dry_run",
            "no_record",
            "report",
            "allow_network_fs",
            "quiet",
            "verbose",
        }
        everywhere |= {"color", "schema", "help", "version"}
        left_out = {"svc_health": {"nagios", "on_change"}, "svc_restart": {"status"}}
        for name, options in tool.OPTIONS.items():
            page = (MANUAL / f"{name.replace('_', '-')}.1").read_text().replace("\\-", "-")
            written = {
                found.replace("-", "_")
                for found in re.findall(r"^(?:\\fB-\w\\fR, )?\\fB--([a-z0-9-]+)\\fR", page, re.MULTILINE)
            }
            self.assertTrue(written > {"root"} or name == "svc_health", name)
            missing = written - everywhere - left_out.get(name, set()) - set(options)
            unknown = set(options) - written - {tool.POSITIONAL.get(name)}
            self.assertEqual((missing, unknown), (set(), set()), name)


class Hosts(unittest.TestCase):
    """What hosts may have."""

    def test_python_3_8_can_read_the_modules(self) -> None:
        """It knows `dict[str, int]` in annotations, which nobody evaluates, but not as a value."""
        plugins = TOP / "fleet/ansible/plugins"
        files = [*plugins.glob("modules/*.py"), *plugins.glob("module_utils/*.py")]
        self.assertGreater(len(files), 10)
        for file in files:
            tree = ast.parse(file.read_text(), feature_version=(3, 8))
            notes = [getattr(node, "annotation", None) or getattr(node, "returns", None) for node in ast.walk(tree)]
            unread = {id(part) for note in notes if note for part in ast.walk(note)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and id(node) not in unread:
                    self.assertNotIn(node.value.id, ("dict", "list", "set", "tuple"), f"{file.name}:{node.lineno}")


class Results(unittest.TestCase):
    """From records to what Ansible says."""

    def test_what_is_planned_and_what_is_done_look_the_same(self) -> None:
        """The plan of a restart and a restart are one line."""
        link = {"tool": "release-switch", "ok": True, "link": "/r/current", "from": "v1", "to": "v2"}
        planned = [
            link,
            {"tool": "svc-restart", "plan": [{"action": "restart", "target": "a"}, {"action": "gate", "target": "1"}]},
        ]
        done = [link, {"tool": "svc-restart", "instances": [{"name": "a", "outcome": "restarted"}]}]
        self.assertEqual(tool.diff({"stages": planned}), tool.diff({"stages": done}))
        self.assertEqual(tool.diff({"stages": done})["after"], "/r/current -> v2\na: restart\n")

    def test_what_went_there_and_back_did_not_change(self) -> None:
        """The link's first and last names count."""
        there = [switch("v1", "v2"), switch("v2", "v1", undo=True)]
        self.assertEqual(tool.diff({"stages": there}), {"before": "", "after": ""})

    def test_a_wrong_command_line_is_told_in_the_words_of_the_tool(self) -> None:
        """Not by the advice below it, nor by what the stages around it make of its end."""
        said = (
            "release-mk: stopped\n"
            "svc-restart: error: the following required arguments were not provided:\n  --via <MANAGER>\n\n"
            "Usage: svc-restart --via <MANAGER> <INSTANCE>...\n\nFor more information, try '--help'.\n"
        )
        wanted = "svc-restart: error: the following required arguments were not provided: --via <MANAGER>"
        self.assertEqual(tool.misuse(said), wanted)
        self.assertEqual(tool.misuse("release-mk: no space left\n"), "")

    def test_the_last_line_counts_if_it_is_whole(self) -> None:
        """A record that was cut off is none."""
        whole = '{"ok": true, "stages": []}\n'
        self.assertEqual(tool.last_record("noise\n" + whole), {"ok": True, "stages": []})
        for cut in (whole.rstrip(), whole[:5], "", "[]\n", "{}\n"):
            self.assertIsNone(tool.last_record(cut))


if __name__ == "__main__":
    unittest.main()
