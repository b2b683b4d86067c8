#!/usr/bin/env python3
"""What is told about the programs is what they do: manual pages, completion, units and --help agree.

    manual_test.py BUILD_DIRECTORY
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))

import unittest_xml  # noqa: E402

BUILD = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else ROOT / "build/release"
PAGES = ("cipectl.8", "ciped.8", "cipe.conf.5", "cipe-protocol.7")


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL, **options)


def help_of(program, *words):
    return run(BUILD / "bin" / program, *words, "--help").stdout


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def verbs():
    text = help_of("cipectl").partition("Subcommands:\n")[2]
    return re.findall(r"^  ([a-z-]+)", text, re.M)


def rendered(page, *arguments):
    """The page as man(1) shows it, and what it complains about."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "t", "MANWIDTH": "80",
                   "MAN_KEEP_FORMATTING": ""}
    return run("man", "--warnings", "-E", "UTF-8", "-l", *arguments, page, env=environment)


class Manual(unittest.TestCase):
    def test_pages_render_without_warnings(self):
        for page in PAGES:
            result = rendered(BUILD / "tools/man" / page, "-Tutf8", "-Z")
            self.assertEqual((result.returncode, result.stderr), (0, ""), page)
            text = rendered(BUILD / "tools/man" / page).stdout
            self.assertIn("NAME", text)
            self.assertGreater(len(text.splitlines()), 40, page)

    def test_every_command_and_option_of_cipectl_is_there(self):
        page = rendered(BUILD / "tools/man/cipectl.8").stdout
        self.assertGreater(len(verbs()), 8)
        for verb in verbs():
            self.assertRegex(page, rf"(?m)^ +{verb}(:|$)", "commands")
            for option in options_in(help_of("cipectl", verb)):
                self.assertIn(option, page, f"of {verb}")

    def test_every_option_of_ciped_is_there_and_no_other(self):
        page = (ROOT / "docs/man/ciped.8.md").read_text()
        table = page.partition("## Options")[2].partition("## Signals")[0]
        listed = {option for line in table.splitlines() if line.startswith("|")
                  for option in options_in(line.split("|")[1])}
        self.assertEqual(listed, options_in(help_of("ciped")))

    def test_every_option_of_a_tunnel_is_there(self):
        page = rendered(BUILD / "tools/man/cipe.conf.5").stdout
        rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/configuration.md").read_text(), re.M)
        self.assertGreater(len(rows), 25)
        for name in rows:
            self.assertRegex(page, rf"(?m)^ +{name}:", "options")


class Bash(unittest.TestCase):
    def complete(self, *words):
        """What bash offers for the last of these words."""
        with tempfile.TemporaryDirectory() as directory:
            for name in ("site-a", "site-b", "office"):
                (pathlib.Path(directory) / f"{name}.conf").touch()
            words = [word.replace("CONF", directory) for word in words]
            script = (f"cipectl() {{ printf 'site-c\\n'; }}; . '{ROOT}/tools/completion/cipectl.bash'; "
                      'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cipectl; '
                      'printf "%s\\n" "${COMPREPLY[@]}"')
            result = run("bash", "-uc", script, "bash", *words)
            self.assertEqual(result.stderr, "")
            return result.stdout.split()

    def test_commands(self):
        self.assertEqual(self.complete("cipectl", ""), sorted(verbs()))
        self.assertEqual(self.complete("cipectl", "-j", "gen"), ["genkey", "genpsk"])

    def test_options_are_those_of_each_command(self):
        for verb in verbs():
            offered = set(self.complete("cipectl", verb, "--"))
            self.assertEqual(offered, options_in(help_of("cipectl", verb).partition("\n\n")[2]
                                                 .partition("Options:")[2].partition("\n\n")[0])
                             | options_in(help_of("cipectl").partition("Subcommands")[0]), verb)

    def test_tunnels(self):
        here = ("cipectl", "--config-dir", "CONF")
        self.assertEqual(self.complete(*here, "up", ""), ["office", "site-a", "site-b"])
        self.assertEqual(self.complete(*here, "up", "--no-wait", "si"), ["site-a", "site-b"])
        self.assertEqual(self.complete(*here, "down", "site"), ["site-a", "site-b", "site-c"])
        self.assertEqual(self.complete(*here, "show", "peers", "o"), ["office"])
        self.assertEqual(self.complete(*here, "show", ""), ["drops", "peers", "sessions", "tunnels"])
        self.assertEqual(self.complete(*here, "up", "site-a", ""), [])


class Zsh(unittest.TestCase):
    """In a real zsh on a pseudo-terminal, which is what its completion needs."""

    def setUp(self):
        if shutil.which("zsh") is None:
            self.skipTest("needs zsh")

    def offered(self, typed):
        script = r'''
            zmodload zsh/zpty
            comptest() {
              emulate -L zsh
              zpty comp zsh -f -i
              zpty -w comp "fpath=($1 \$fpath); PS1=; autoload -U compinit; compinit -u -D"
              zpty -w comp 'cipectl() { print site-c }; LISTMAX=0'
              zpty -w comp 'compadd() { [[ $1 == (-O|-A|-D) ]] && { builtin compadd "$@"; return };
                local -a hits; builtin compadd -O hits "$@"; print -r -- "<${(j: :)hits}>"; builtin compadd "$@" }'
              zpty -w comp 'print READY'
              zpty -w -n comp "$2"$'\t'
              sleep 2
              local out chunk
              while zpty -r -t comp chunk; do out+=$chunk; done
              zpty -d comp
              print -r -- "$out"
            }
            comptest "$@"
        '''
        with tempfile.TemporaryDirectory() as directory:
            (pathlib.Path(directory) / "site-a.conf").touch()
            result = run("zsh", "-fc", script, "zsh", ROOT / "tools/completion",
                         typed.replace("CONF", directory), env={**os.environ, "TERM": "dumb"})
        return result.stdout + result.stderr

    def test_it_parses(self):
        result = run("zsh", "-n", ROOT / "tools/completion/_cipectl")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_commands_are_those_there_are(self):
        text = (ROOT / "tools/completion/_cipectl").read_text()
        self.assertEqual(re.findall(r"(?m)^    '([a-z-]+):", text), verbs())
        for verb in verbs():
            for option in options_in(help_of("cipectl", verb)):
                self.assertIn(option, text, verb)

    def test_commands_and_tunnels_are_offered(self):
        self.assertIn("genpsk", self.offered("cipectl gen"))
        self.assertIn("site-a", self.offered("cipectl --config-dir CONF up "))


if __name__ == "__main__":
    unittest_xml.main()
