"""Every test that docs/testing.md names in its tables of tests exists, and no line there is without
one."""

import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))

import unittest_xml  # noqa: E402


def rows(title):
    """(cells) of the table under this heading."""
    text = (ROOT / "docs/testing.md").read_text().split(f"## {title}", 1)[1]
    lines = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def defined():
    """Names of all GoogleTest cases, test programs and namespace cases."""
    names = set()
    for path in (ROOT / "tests").rglob("*.cc"):
        names.update(".".join(found) for found in
                     re.findall(r"^TEST(?:_[FP])?\((\w+),\s*(\w+)\)", path.read_text(), re.M))
    for path in (ROOT / "tests").rglob("CMakeLists.txt"):
        names.update(re.findall(r"^cipe_test\((\w+)", path.read_text(), re.M))
    listed = subprocess.run([sys.executable, ROOT / "tests/netns/run", "--list"], check=True,
                            capture_output=True, text=True, timeout=60).stdout
    return names | set(listed.split())


class NamedTests(unittest.TestCase):
    def test_every_line_names_tests_that_exist(self):
        names = defined()
        table = rows("Bad input gets")
        self.assertGreater(len(table), 15)
        for bad_input, *_, tests in table + rows("The sixteen points"):
            named = re.findall(r"`([^`]+)`", tests)
            self.assertTrue(named, f"no test is named for: {bad_input}")
            for name in named:
                pattern = re.escape(name).replace(r"\*", ".*")
                self.assertTrue(any(re.fullmatch(pattern, other) for other in names),
                                f"{name}, named for {bad_input!r}, is not there")


if __name__ == "__main__":
    unittest_xml.main()
