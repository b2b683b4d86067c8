"""The workflow files for the outside world say nothing that is not there: every command exists with
its options, every tier of tools/check is run, and the limits that they should have, they have."""

import itertools
import os
import pathlib
import re
import shlex
import subprocess
import sys
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))

import check  # noqa: E402
import unittest_xml  # noqa: E402

FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = {"actions/checkout", "actions/upload-artifact"}
PREPARING = ("apt-get", "git")  # commands that are not ours
VM = "vm-tests/run"


def load(path):
    workflow = yaml.safe_load(path.read_text())
    workflow["on"] = workflow.pop(True)  # YAML 1.1 takes the key `on` for a truth value
    return workflow


def jobs():
    """(where, job) of all files."""
    return [(f"{path.name}: {name}", job) for path in FILES
            for name, job in load(path)["jobs"].items()]


def matrix_rows(job):
    matrix = job.get("strategy", {}).get("matrix", {})
    return [dict(zip(matrix, values)) for values in itertools.product(*matrix.values())]


def commands(job):
    """Words of each command, once for each row of the matrix."""
    found = []
    for step in job["steps"]:
        for row in matrix_rows(job):
            text = re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda m, row=row: row[m[1]],
                          step.get("run", ""))
            found += [shlex.split(line) for line in re.split(r"\n|&&", text) if line.strip()]
    return found


def vm_text():
    return "\n".join(path.read_text() for path in (ROOT / "vm-tests").rglob("*")
                     if path.is_file() and path.suffix in ("", ".py"))


class Workflows(unittest.TestCase):
    def test_build_and_vm_are_there(self):
        self.assertEqual([path.name for path in FILES], ["build.yml", "vm.yml"])

    def test_limits(self):
        for path in FILES:
            workflow = load(path)
            with self.subTest(path.name):
                self.assertEqual(workflow["permissions"], {"contents": "read"})
                self.assertIs(workflow["concurrency"]["cancel-in-progress"], True)
                self.assertIn("github.ref", workflow["concurrency"]["group"])
                # pull_request_target and the like would run strangers' code with our rights.
                self.assertLessEqual(set(workflow["on"]), {"push", "pull_request"})
        for where, job in jobs():
            with self.subTest(where):
                self.assertLessEqual(job["timeout-minutes"], 90)
                self.assertEqual(job["container"]["image"], "debian:12")
                self.assertNotIn("permissions", job)

    def test_actions_are_known_and_pinned(self):
        for where, job in jobs():
            for step in job["steps"]:
                if "uses" in step:
                    name, _, version = step["uses"].partition("@")
                    with self.subTest(where, uses=step["uses"]):
                        self.assertIn(name, ACTIONS)
                        self.assertRegex(version, r"^v\d+\.\d+\.\d+$")
                else:
                    # What strangers may choose (titles, branch names) must not become a command.
                    self.assertNotRegex(step["run"], r"\$\{\{ (?!matrix\.)")

    def test_our_commands_exist(self):
        ours = [words for _, job in jobs() for words in commands(job) if words[0] not in PREPARING]
        self.assertTrue(ours)
        for words in ours:
            if words[0] != VM:
                with self.subTest(words[0]):
                    self.assertTrue(os.access(ROOT / words[0], os.X_OK), f"{words[0]} is not there")
        self.assertEqual({words[0] for words in ours},
                         {"tools/check", "tools/package", "tools/install-dependencies", VM})

    def test_every_tier_is_run(self):
        program = ROOT / "tools/lib/check.py"
        known = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True,
                               check=True, timeout=60).stdout
        run = set()
        for words in (w for _, job in jobs() for w in commands(job) if w[0] == "tools/check"):
            for option in (word for word in words if word.startswith("--")):
                self.assertIn(option, known)
            run |= {tier for option, tier in zip(words, words[1:]) if option == "--only"}
        # The virtual machines have a workflow of their own.
        self.assertEqual(run, set(check.tiers(1)) - {"vm"})

    def test_vm_command_and_kernels_exist(self):
        ours = [words for _, job in jobs() for words in commands(job) if words[0] == VM]
        self.assertEqual([words[1:] for words in ours], [["--kernel", "6.1"], ["--kernel", "6.12"]])
        if not (ROOT / "vm-tests").exists():
            self.skipTest("vm-tests is not there")
        self.assertTrue(os.access(ROOT / VM, os.X_OK), f"{VM} is not there")
        for word in ("--kernel", '"6.1"', '"6.12"'):
            self.assertIn(word, vm_text())


if __name__ == "__main__":
    unittest_xml.main()
