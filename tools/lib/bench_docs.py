"""Files of a run: results, charts, and the generated part of docs/performance.md."""

import json
import pathlib

import bench_report as report
import lab as labs

BEGIN = "<!-- bench:begin: tools/bench --write-docs writes from here to bench:end -->"
END = "<!-- bench:end -->"
PAGE = labs.ROOT / "docs/performance.md"


def replace_between(text, new):
    """`text` with what stands between the markers exchanged; ValueError unless each stands there
    once and in order, since a guess would lose what people wrote."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected one line {BEGIN!r} and after it one line {END!r}")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{new.strip()}\n\n{END}{rest.split(END)[1]}"


def write_charts(document, directory):
    """[(title, path)] of the charts written there."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (title, drawing) in report.charts(document).items():
        path = directory / f"{name}.svg"
        path.write_text(drawing)
        written.append((title, path))
    return written


def write_results(document, directory):
    """results.json, report.txt and the charts."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    (directory / "report.txt").write_text(report.for_people(document))
    write_charts(document, directory / "charts")


def write_page(document, page=PAGE):
    """The page's generated part and, beside it, its charts. ValueError as of replace_between."""
    page = pathlib.Path(page)
    text = page.read_text()
    replace_between(text, "")  # before anything is written
    charts = [(title, path.relative_to(page.parent))
              for title, path in write_charts(document, page.parent / page.stem)]
    page.write_text(replace_between(text, report.for_docs(document, charts)))
