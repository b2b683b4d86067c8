#!/usr/bin/env python3
"""manpage.py SOURCE.md NAME SECTION DESCRIPTION: a manual page on standard output.

The source is a document of docs/, so that each thing is said in one place: its first heading gives way to
the NAME section, its tables of options become lists of terms, links keep their text only. lowdown(1) does
the rest. The page says everything ragged right: a terminal's columns are too narrow to be filled.
"""

import argparse
import pathlib
import re
import subprocess

CELL = re.compile(r"(?:[^|`\\]|\\.|`[^`]*`)+")


def plain(text):
    """Links keep their text, words their underscores."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"(?<=\w)_(?=\w)", r"\\_", part)
                   for part in parts)


def terms(rows):
    """A table of options: | option | value | ... | what it does | -> a list of definitions."""
    header = [cell.strip().lower() for cell in CELL.findall(rows[0])]
    out = []
    for row in rows[2:]:
        cells = [cell.strip() for cell in CELL.findall(row)]
        named = dict(zip(header, cells))
        about = [f"{name} {named[name]}" for name in header[1:-1] if named.get(name)]
        about = [re.sub(r"^(value|arguments) ", "", text) for text in about]
        term = re.sub(r"`([^`]*)`", lambda m: "**" + m[1].replace("_", r"\_") + "**", cells[0])
        out += [term + (": " + "; ".join(about) if about else ""), f": {cells[-1]}", ""]
    return out


def prepared(text):
    """The document without its title, headings one level up, tables of options as terms."""
    out, table, code = [], [], False
    for line in [*text.splitlines(), ""]:
        code ^= line.lstrip().startswith("```")
        if not code and line.startswith("|"):
            table.append(plain(line))
            continue
        if table:
            is_list = table[0].split("|")[1].strip().lower() in ("option", "command")
            out += ["", *(terms(table) if is_list else table), ""]
            table = []
        if not code and line.startswith("# "):
            continue
        if not code and line.startswith("##"):
            line = line[1:]
        out.append(line if code else plain(line))
    return "\n".join(out)


def breakable(page):
    """Long words in tables may be broken after these characters: the columns are narrow."""
    inside, out = False, []
    for line in page.splitlines():
        inside = line.startswith(".TS") or (inside and not line.startswith(".TE"))
        text = inside and not line.startswith((".", "T{", "T}"))
        if text:
            line = re.sub(r"(?<=[A-Za-z0-9]{2})([_/-])(?=[A-Za-z0-9])", r"\1\\:", line)
        out.append(line)
    return "\n".join(out) + "\n"


def described(page):
    """What comes before the first heading is the description."""
    return page if page.lstrip().startswith(".SH") else ".SH DESCRIPTION\n" + page


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=pathlib.Path)
    for name in ("name", "section", "description"):
        parser.add_argument(name)
    page = parser.parse_args()
    body = subprocess.run(["lowdown", "-Tman", "--out-no-smarty"], input=prepared(page.source.read_text()), text=True,
                          capture_output=True, check=True, timeout=60).stdout
    print(f'.TH "{page.name}" "{page.section}" "" "CIPE" "CIPE"\n.nh\n.ad l\n'
          f'.SH NAME\n{page.name} \\- {page.description}')
    # lowdown goes back to filled lines after some of its blocks; capitals as manual pages have them.
    body = re.sub(r"^\.SH\n?(.*)$", lambda m: ".SH " + m[1].upper(), body, flags=re.M)
    body = re.sub(r"^\.ad( b)?$", ".ad l", body, flags=re.M)
    print(described(breakable(body)), end="")


if __name__ == "__main__":
    main()
