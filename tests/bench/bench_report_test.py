"""What a run is told in: tables, charts, and the page whose hand-written parts must stay."""

import pathlib
import re
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))

import bench_docs as docs  # noqa: E402
import bench_report as report  # noqa: E402
import bench_svg as svg  # noqa: E402
import unittest_xml  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def entry(name, kind, status="measured", reason="", **figures):
    return {"name": name, "kind": kind, "status": status, "reason": reason, "failures": [],
            "proof": {}, "busy_before": [0.01, 0.03], "facts": {"version": f"{name} 1", "settings": "plain"},
            "figures": {key: {"median": runs[len(runs) // 2], "low": min(runs), "high": max(runs),
                              "runs": list(runs)} for key, runs in figures.items()}}


def run_document():
    return {
        "started": "2026-01-02T03:04:05Z",
        "machine": {"processor": "A <fast> & new CPU", "cores": 2, "memory_gib": 23.5,
                    "virtual_machine": True, "governor": "none visible", "kernel": "6.18",
                    "system": "Debian", "iperf3": "iperf 3.12",
                    "build": {"version": "ciped 0.1", "commit": "abc", "build_type": "Release"}},
        "options": {"repeat": 3, "seconds": 5},
        "contestants": [
            entry("veth", "bare", tcp1=(18_000, 19_000, 20_000)),
            entry("cipe-rung3", "ours", tcp1=(8_000, 9_000, 9_500), rtt_p50=(200.0, 210.0, 230.0)),
            entry("openvpn", "rival", tcp1=(1_500, 1_600, 1_700), rtt_p50=(190.0, 200.0, 205.0)),
            entry("wireguard", "rival", "not here", "the kernel has none")],
        "verdicts": [{"point": "1a", "text": "TCP", "asked": "x", "seen": "y", "met": False}]}


class Tables(unittest.TestCase):
    def test_median_and_spread_in_the_shown_unit(self):
        (title, rows), *_ = report.grids(run_document())
        self.assertEqual(title, "Throughput")
        self.assertEqual(rows[0], ["", "TCP, 1 stream, Gbit/s"])
        self.assertIn(["cipe-rung3", "9.00 (8.00..9.50)"], rows)

    def test_what_nobody_measured_is_no_column_and_who_measured_nothing_no_row(self):
        grids = report.grids(run_document())
        self.assertEqual([title for title, _ in grids], ["Throughput", report.TABLES[2][0]])
        text = report.for_people(run_document())
        self.assertNotIn("UDP 64", text)
        self.assertIn("wireguard: not here: the kernel has none", text)

    def test_who_has_no_figure_has_a_dash(self):
        rows = dict(report.grids(run_document()))[report.TABLES[2][0]]
        self.assertIn(["veth", "-"], rows)

    def test_columns_are_even(self):
        lines = report.plain([["", "head"], ["a", "1"], ["long name", "2.00 (1..3)"]])
        self.assertEqual(len({len(line) for line in lines}), 1)

    def test_where_a_rival_is_better_is_told_and_only_there(self):
        lines = report.where_others_win(run_document())
        self.assertEqual(lines, ["RTT idle p50: cipe-rung3 0.210, openvpn 0.200 ms"])

    def test_a_busy_machine_is_told(self):
        document = run_document()
        self.assertNotIn("something else", report.for_people(document))
        document["contestants"][1]["busy_before"] = [0.02, 0.9]
        self.assertIn("Before 1 of 8 turns something else kept up to 0.90 processors busy",
                      report.for_people(document))

    def test_verdicts_are_lines_of_their_own(self):
        self.assertIn("  1a TCP: asked x, seen y: NOT met\n", report.for_people(run_document()))


class Charts(unittest.TestCase):
    def draw(self, bars, rows=None, title="A chart"):
        rows = rows or [(name, "ours") for name in bars]
        text = svg.chart(title, "on <this> & that", rows, [svg.Panel("P", "u", 1, bars)])
        return ElementTree.fromstring(text)

    def bars_of(self, root, kind="ours"):
        """Widths of the bars, the legend's square left out."""
        return [float(r.get("width")) for r in root.iter(SVG + "rect") if r.get("class") == kind][:-1]

    def test_bars_are_as_long_as_their_numbers(self):
        root = self.draw({"x": svg.Bar(50, 50, 50), "y": svg.Bar(100, 90, 100)})
        short, long = self.bars_of(root)
        self.assertAlmostEqual(long / short, 2, places=2)
        words = [t.text for t in root.iter(SVG + "text")]
        self.assertTrue({"50.0", "100.0", "x", "y", "P", "u", "A chart", "CIPE"} <= set(words))

    def test_the_spread_is_a_line_from_the_least_to_the_greatest(self):
        root = self.draw({"x": svg.Bar(50, 25, 100)})
        line = next(p.get("d") for p in root.iter(SVG + "path") if p.get("class") == "spread")
        left, right = map(float, re.fullmatch(r"M([\d.]+) [\d.]+H([\d.]+)", line).groups())
        room = svg.PANEL - svg.NUMBER
        self.assertAlmostEqual(left - svg.LEFT, room * 0.25, places=0)
        self.assertAlmostEqual(right - svg.LEFT, room, places=0)

    def test_nothing_leaves_the_picture(self):
        names = {"a name that is much longer than its column": svg.Bar(1, 1, 1),
                 "zero": svg.Bar(0, 0, 0), "huge": svg.Bar(1e9, 1e9, 1e9)}
        root = self.draw(names)
        width, height = float(root.get("width")), float(root.get("height"))
        for rect in root.iter(SVG + "rect"):
            self.assertLessEqual(float(rect.get("x", 0)) + float(rect.get("width")), width)
            self.assertLessEqual(float(rect.get("y", 0)) + float(rect.get("height")), height)
        labels = [t for t in root.iter(SVG + "text") if t.get("text-anchor") == "end"]
        self.assertEqual(len(labels), 3)
        self.assertTrue(all(len(t.text) * 6.6 < svg.LEFT for t in labels))

    def test_who_has_no_figure_is_said_to_have_none(self):
        root = self.draw({"x": svg.Bar(1, 1, 1)}, [("x", "ours"), ("y", "rival")])
        self.assertIn("no figure", [t.text for t in root.iter(SVG + "text")])

    def test_all_zero_is_drawn(self):
        self.assertTrue(self.bars_of(self.draw({"x": svg.Bar(0, 0, 0)})))

    def test_both_colour_schemes_and_words_for_who_cannot_see(self):
        text = svg.chart("T & t", "n", [("x", "bare")], [svg.Panel("P", "u", 0, {})])
        self.assertIn("prefers-color-scheme: dark", text)
        root = ElementTree.fromstring(text)
        self.assertEqual((root.get("role"), root.find(SVG + "title").text), ("img", "T & t"))

    def test_colours_can_be_told_from_their_paper(self):
        light, _, dark = svg.STYLE.partition("@media (prefers-color-scheme: dark) {")
        for style in (light, dark):
            colours = {}
            for names, body in re.findall(r"([.\w ,]+)\{([^}]*)\}", style):
                for name in re.findall(r"\w+", names):
                    found = re.search(r"fill: (#\w{6})", body)
                    if found:
                        colours[name] = found.group(1)
            colours.setdefault("bare", "#898781")
            for kind in ("bare", "ours", "rival", "added"):
                self.assertGreater(contrast(colours[kind], colours["paper"]), 2.9, (kind, style))
            self.assertGreater(contrast(colours["text"], colours["paper"]), 7)
            self.assertGreater(contrast(colours["note"], colours["paper"]), 4.5)

    def test_every_kind_of_figure_there_is_has_a_chart(self):
        charts = report.charts(run_document())
        self.assertEqual(sorted(charts), ["rtt", "tcp"])
        for _, text in charts.values():
            ElementTree.fromstring(text)


def contrast(one, two):
    """WCAG 2.1, section 1.4.3."""
    def luminance(colour):
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


class Page(unittest.TestCase):
    PAGE = f"# Head\n\nby hand\n\n{docs.BEGIN}\nold figures\n{docs.END}\n\n## Tried\n\nby hand too\n"

    def test_only_what_is_between_the_markers_changes(self):
        with tempfile.TemporaryDirectory() as name:
            page = pathlib.Path(name) / "performance.md"
            page.write_text(self.PAGE)
            for _ in range(2):  # the second time it must do the same
                docs.write_page(run_document(), page)
                text = page.read_text()
                self.assertTrue(text.startswith(f"# Head\n\nby hand\n\n{docs.BEGIN}\n"))
                self.assertTrue(text.endswith(f"\n{docs.END}\n\n## Tried\n\nby hand too\n"))
                self.assertNotIn("old figures", text)
                self.assertIn("| cipe-rung3 | 9.00 (8.00..9.50) |", text)
                self.assertEqual(text.count(docs.BEGIN), 1)
            for link in re.findall(r"\]\(([^)]+)\)", text):
                self.assertTrue((page.parent / link).is_file(), link)

    def test_a_page_without_its_markers_is_left_alone(self):
        for broken in ("nothing", docs.BEGIN, docs.END + docs.BEGIN, self.PAGE + docs.END):
            with tempfile.TemporaryDirectory() as name:
                page = pathlib.Path(name) / "performance.md"
                page.write_text(broken)
                self.assertRaises(ValueError, docs.write_page, run_document(), page)
                self.assertEqual(page.read_text(), broken)
                self.assertEqual(list(page.parent.iterdir()), [page])

    def test_the_page_of_this_tree_can_be_written(self):
        text = docs.PAGE.read_text()
        self.assertIn("new", docs.replace_between(text, "new"))
        for title in ("## How it is measured", "## Adapters", "## Tried and rejected"):
            self.assertIn(title, text)
            self.assertIn(title, docs.replace_between(text, "new"))


if __name__ == "__main__":
    unittest_xml.main()
