"""Runs the unittest cases of a script and, like a GoogleTest program, leaves a result file.

tools/check counts test cases, not programs. A GoogleTest program writes its counts where the
environment variable GTEST_OUTPUT says (`xml:DIRECTORY/`); Python tests that end with
`unittest_xml.main()` do the same, so both are read by one parser.
"""

import os
import pathlib
import sys
import time
import unittest
import xml.etree.ElementTree as ElementTree


class _Result(unittest.TextTestResult):
    """Collects one row per case: (name, seconds, outcome, message)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.rows = []
        self._started = 0.0

    def startTest(self, test):
        self._started = time.monotonic()
        super().startTest(test)

    def _row(self, test, outcome, message=""):
        self.rows.append((str(test), time.monotonic() - self._started, outcome, message))

    def addSuccess(self, test):
        super().addSuccess(test)
        self._row(test, "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._row(test, "failed", self._exc_info_to_string(err, test))

    def addError(self, test, err):
        super().addError(test, err)
        self._row(test, "failed", self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._row(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._row(test, "passed")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._row(test, "failed", "was expected to fail")


def write_xml(path, suite, rows):
    """Writes rows (name, seconds, outcome, message) as a JUnit file; creates the directory."""
    root = ElementTree.Element("testsuites")
    element = ElementTree.SubElement(
        root, "testsuite", name=suite, tests=str(len(rows)),
        failures=str(sum(row[2] == "failed" for row in rows)),
        skipped=str(sum(row[2] == "skipped" for row in rows)))
    for name, seconds, outcome, message in rows:
        case = ElementTree.SubElement(element, "testcase", name=name, classname=suite,
                                      time=f"{seconds:.3f}")
        if outcome == "failed":
            ElementTree.SubElement(case, "failure", message=message)
        elif outcome == "skipped":
            ElementTree.SubElement(case, "skipped", message=message)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def main():
    """Like unittest.main(); exits 0, 1 on failures, 77 when every case was skipped."""
    program = unittest.main(
        module="__main__", exit=False, verbosity=2,
        testRunner=unittest.TextTestRunner(resultclass=_Result, stream=sys.stdout, verbosity=2))
    result = program.result
    kind, _, place = os.environ.get("GTEST_OUTPUT", "").partition(":")
    if kind == "xml" and place.endswith("/"):
        name = pathlib.Path(sys.argv[0]).stem
        write_xml(pathlib.Path(place) / f"{name}.xml", name, result.rows)
    outcomes = [row[2] for row in result.rows]
    if not result.wasSuccessful() or not outcomes:
        sys.exit(1)
    sys.exit(77 if all(outcome == "skipped" for outcome in outcomes) else 0)
