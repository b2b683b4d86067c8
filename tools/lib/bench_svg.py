"""Bar charts as SVG, without any library: one column of names, and beside it a panel per figure with
a bar for the median, a line from the least to the greatest run, and the number. The colours follow
the reader's light or dark scheme."""

import dataclasses
import math
from xml.sax.saxutils import escape

ROW, BAR = 24, 14
LEFT, PANEL, GAP, NUMBER = 150, 190, 24, 58
TOP, FOOT = 86, 34
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #0b0b0b }
  .title { font-size: 16px; font-weight: 600 }
  .note { fill: #52514e }
  .number { font-variant-numeric: tabular-nums }
  .paper { fill: #fcfcfb }
  .axis { stroke: #c3c2b7; stroke-width: 1 }
  .spread { stroke: #0b0b0b; stroke-width: 1.5 }
  .bare { fill: #898781 } .ours { fill: #2a78d6 } .rival { fill: #eb6834 } .added { fill: #4a3aa7 }
  @media (prefers-color-scheme: dark) {
    text { fill: #ffffff } .note { fill: #c3c2b7 } .paper { fill: #1a1a19 }
    .axis { stroke: #52514e } .spread { stroke: #ffffff }
    .ours { fill: #3987e5 } .rival { fill: #d95926 } .added { fill: #9085e9 }
  }
"""
LEGEND = (("bare", "bare carrier"), ("ours", "CIPE"), ("rival", "from Debian's packages"),
          ("added", "by --adapter"))


@dataclasses.dataclass(frozen=True)
class Bar:
    median: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Panel:
    """One figure of all contestants. `bars`: {name: Bar}; who is missing has no figure."""

    title: str
    unit: str
    digits: int
    bars: dict


def text(x, y, words, kind="", anchor="start"):
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{name} text-anchor="{anchor}">{escape(words)}</text>'


def fit(words, width=LEFT - 22):
    """Shortened to what fits; 12 px letters are about 6.6 px wide."""
    most = int(width / 6.6)
    return words if len(words) <= most else words[:most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def scale(panel):
    """The value at the end of a panel's axis, above 0."""
    return max((bar.high for bar in panel.bars.values() if math.isfinite(bar.high)),
               default=0) or 1.0


def draw_bar(x, y, bar, kind, digits, most):
    """One row of a panel: bar, line of the spread, number."""
    room = PANEL - NUMBER
    width, low, high = (max(min(value / most, 1), 0) * room
                        for value in (bar.median, bar.low, bar.high))
    middle = y + ROW / 2
    parts = [f'<rect class="{kind}" x="{x:.1f}" y="{y + (ROW - BAR) / 2:.1f}" '
             f'width="{max(width, 1):.1f}" height="{BAR}" rx="2"/>']
    if high - low >= 2:
        parts.append(f'<path class="spread" d="M{x + low:.1f} {middle:.1f}H{x + high:.1f}"/>')
    parts.append(text(x + max(width, high) + 5, middle + 4, f"{bar.median:.{digits}f}", "number"))
    return parts


def draw_panel(x, panel, rows):
    most = scale(panel)
    parts = [text(x, TOP - 20, panel.title), text(x, TOP - 6, panel.unit, "note"),
             f'<path class="axis" d="M{x:.1f} {TOP}V{TOP + ROW * len(rows)}"/>']
    for number, (name, kind) in enumerate(rows):
        y = TOP + ROW * number
        if name in panel.bars:
            parts += draw_bar(x, y, panel.bars[name], kind, panel.digits, most)
        else:
            parts.append(text(x + 5, y + ROW / 2 + 4, "no figure", "note"))
    return parts


def draw_legend(rows, y):
    present = {kind for _, kind in rows}
    parts, x = [], 12
    for kind, words in LEGEND:
        if kind in present:
            parts.append(f'<rect class="{kind}" x="{x}" y="{y - 10}" width="12" height="12" rx="2"/>')
            parts.append(text(x + 18, y, words, "note"))
            x += 40 + len(words) * 7
    return parts


def chart(title, note, rows, panels):
    """The SVG document. `rows`: [(name, kind)] from top to bottom."""
    width = LEFT + len(panels) * (PANEL + GAP)
    height = TOP + ROW * len(rows) + FOOT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
             f'width="{width}" height="{height}" role="img" aria-label="{escape(title, {chr(34): ""})}">',
             f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>",
             f'<rect class="paper" width="{width}" height="{height}" rx="6"/>',
             text(12, 24, title, "title"), text(12, 42, note, "note")]
    for number, (name, _) in enumerate(rows):
        parts.append(text(LEFT - 12, TOP + ROW * (number + 0.5) + 4, fit(name), anchor="end"))
    for number, panel in enumerate(panels):
        parts += draw_panel(LEFT + number * (PANEL + GAP), panel, rows)
    parts += draw_legend(rows, height - 12)
    return "\n".join(parts) + "\n</svg>\n"
