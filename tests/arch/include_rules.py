"""Finds #include lines, dependencies and drop reasons that break the rules of docs/architecture.md.

Works on any tree with the layout of this repository, so that the rules themselves can be tested on
small broken trees. Every function returns a list of sentences, one per broken rule.
"""

import pathlib
import re

# External header -> folders under controller/ that may include it. The tests may use anything.
EXTERNAL_HEADERS = (
    (re.compile(r"libmnl/"), "libmnl", {"netlink"}),
    (re.compile(r"openssl/"), "OpenSSL", {"crypto"}),
    (re.compile(r"gcrypt\.h$"), "libgcrypt", {"classic"}),
    (re.compile(r"(intel-ipsec-mb|ipsec-mb)"), "intel-ipsec-mb", {"crypto"}),
    (re.compile(r".*\.skel\.h$"), "a BPF skeleton", {"steering"}),
)

CIPECTL_FOLDERS = {"base", "control", "config", "crypto"}
PARAMETERS = {"SRCS", "DEPS", "LIBS"}
SOURCE_SUFFIXES = {".h", ".hh", ".hpp", ".c", ".cc", ".cpp", ".def", ".inc"}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
_COMMENTS = re.compile(r"/\*.*?\*/", re.DOTALL)


def includes(path):
    """(line number, `<` or `"`, name) of every #include of a file; comments do not count."""
    text = path.read_text(encoding="utf-8", errors="replace")
    text = _COMMENTS.sub(lambda match: "\n" * match.group(0).count("\n"), text)
    return [(text.count("\n", 0, match.start()) + 1, match.group(1), match.group(2))
            for match in _INCLUDE.finditer(text)]


def sources(folder):
    return sorted(path for path in folder.rglob("*")
                  if path.is_file() and path.suffix in SOURCE_SUFFIXES)


def read_libraries(tree):
    """({folder: declared DEPS}, problems) from the cipe_library() calls under controller/."""
    libraries, problems = {}, []
    for cmake in sorted((tree / "controller").glob("*/CMakeLists.txt")):
        folder = cmake.parent.name
        text = re.sub(r"#[^\n]*", "", cmake.read_text())
        calls = re.findall(r"\bcipe_library\s*\(([^)]*)\)", text)
        for call in calls:
            words = call.split()
            name, deps, taking = words[0], [], None
            for word in words[1:]:
                if word in PARAMETERS:
                    taking = word
                elif taking == "DEPS":
                    deps.append(word)
            if name != folder:
                problems.append(f"controller/{folder}: cipe_library is called {name}, "
                                "but a target is named after its folder")
            libraries[folder] = set(deps)
        if len(calls) != 1:
            problems.append(f"controller/{folder}: {len(calls)} cipe_library() calls, expected one")
    for path in sorted((tree / "controller").glob("*/*")):
        if path.suffix in SOURCE_SUFFIXES and path.parent.name not in libraries:
            problems.append(f"controller/{path.parent.name}: has sources but no cipe_library()")
            libraries[path.parent.name] = set()
    return libraries, problems


def check_graph(libraries):
    """Unknown dependencies and cycles."""
    problems = [f"controller/{folder}: DEPS names {dep}, which is no folder of controller/"
                for folder, deps in sorted(libraries.items()) for dep in sorted(deps - set(libraries))]
    state = {}

    def visit(folder, road):
        if state.get(folder) == "done":
            return
        if folder in road:
            cycle = road[road.index(folder):] + [folder]
            problems.append("dependency cycle: " + " -> ".join(cycle))
            return
        for dep in sorted(libraries.get(folder, ())):
            visit(dep, road + [folder])
        state[folder] = "done"

    for folder in sorted(libraries):
        visit(folder, [])
    return problems


def check_controller(tree, libraries):
    """#include "folder/..." only of the own folder and of declared DEPS; libraries in their place."""
    problems = []
    for folder, deps in sorted(libraries.items()):
        for path in sources(tree / "controller" / folder):
            for line, quote, name in includes(path):
                where = f"{path.relative_to(tree)}:{line}"
                for pattern, library, allowed in EXTERNAL_HEADERS:
                    if pattern.match(name) and folder not in allowed:
                        problems.append(f"{where}: {library} ({name}) may be included only in "
                                        + ", ".join(f"controller/{a}" for a in sorted(allowed)))
                problems += check_quoted(tree, path, where, quote, name, deps | {folder},
                                         libraries, "not among the DEPS of cipe_library")
    return problems


def check_quoted(tree, path, where, quote, name, allowed, libraries, why):
    """One include line against the folders its file may use."""
    if ".." in pathlib.PurePosixPath(name).parts:
        return [f"{where}: {name} climbs out of its folder; write it from the root"]
    first = name.split("/")[0]
    if first == "cipe" or quote == "<":
        # Ours must be quoted, or this check would not see them.
        if quote == "<" and "/" in name and first in libraries:
            return [f'{where}: <{name}> is one of our own headers; write "{name}"']
        return []
    if name.endswith(".skel.h"):
        return []
    if "/" not in name:
        if (path.parent / name).exists():
            return []
        return [f"{where}: {name} is in no folder of ours; write it as folder/{name} or <{name}>"]
    if first in libraries:
        return [] if first in allowed else [f"{where}: includes {name}, but {first} is {why}"]
    # A header of a subfolder beside the file, or of bpf/ and include/, named from the root.
    if (tree / "controller" / first).exists() or first in ("bpf", "tools", "tests"):
        return [f"{where}: includes {name}, which controller/ may not use"]
    return []


def check_bpf(tree):
    """bpf/ knows itself and include/cipe/abi; kernel and libbpf headers in angle brackets."""
    problems = []
    for path in sources(tree / "bpf"):
        for line, quote, name in includes(path):
            where = f"{path.relative_to(tree)}:{line}"
            if quote == "<":
                if name.split("/")[0] == "cipe":
                    problems.append(f'{where}: <{name}> is one of our own headers; write "{name}"')
                elif name.split("/")[0] not in ("linux", "asm", "bpf") and name not in (
                        "stddef.h", "stdint.h", "stdbool.h"):
                    problems.append(f"{where}: {name} is neither a kernel nor a libbpf header")
            elif name.startswith("cipe/abi/") or (tree / "bpf" / name).exists():
                continue
            else:
                problems.append(f"{where}: includes {name}; bpf/ may include only its own files "
                                "and include/cipe/abi")
    return problems


def check_public_headers(tree):
    """include/ crosses boundaries, so nothing in it may know controller/."""
    problems = []
    for path in sources(tree / "include"):
        for line, quote, name in includes(path):
            if quote == '"' and not name.startswith("cipe/"):
                problems.append(f"{path.relative_to(tree)}:{line}: includes {name}; include/ may "
                                "include only cipe/...")
    return problems


def check_cipectl(tree, libraries):
    """cipectl and ciped-cb talk to ciped over the control socket: no engine, broker or data path
    inside."""
    problems = []
    for path in sources(tree / "tools" / "cipectl") + sources(tree / "tools" / "classic"):
        for line, quote, name in includes(path):
            where = f"{path.relative_to(tree)}:{line}"
            for pattern, library, _ in EXTERNAL_HEADERS:
                if pattern.match(name):
                    problems.append(f"{where}: cipectl may not include {library} ({name})")
            if quote == '"' and "/" in name and (path.parent / name).exists():
                continue
            if name.startswith(("tools/cipectl/", "tools/classic/")):
                continue
            problems += check_quoted(tree, path, where, quote, name, CIPECTL_FOLDERS, libraries,
                                     "not open to cipectl (" + ", ".join(sorted(CIPECTL_FOLDERS))
                                     + ")")
    return problems


_DROP = re.compile(r'^CIPE_DROP\((\d+), ([a-z][a-z0-9_]*), "([^"\\]+)"\)$')


def check_drop_reasons(tree):
    """Every reason has a number and a name of its own, a sentence that no other reason of the same
    road (xdp, rx, tx, hs) has, and fits the array's size."""
    definitions = tree / "include/cipe/abi/drop_reasons.def"
    header = tree / "include/cipe/abi/drop_reasons.h"
    if not definitions.exists():
        return ["include/cipe/abi/drop_reasons.def is missing"]
    size = re.search(r"#define CIPE_DROP_REASONS (\d+)", header.read_text())
    limit = int(size.group(1)) if size else 0
    problems, seen = [], {"number": {}, "name": {}, "sentence": {}}
    text = _COMMENTS.sub(lambda match: "\n" * match.group(0).count("\n"), definitions.read_text())
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip():
            continue
        where = f"drop_reasons.def:{line}"
        match = _DROP.match(content)
        if not match:
            problems.append(f"{where}: not of the form CIPE_DROP(number, name, \"sentence\")")
            continue
        number, name, sentence = match.groups()
        sentence = f"{name.split('_')[0]}: {sentence}"
        for kind, value in (("number", number), ("name", name), ("sentence", sentence)):
            if value in seen[kind]:
                problems.append(f"{where}: {kind} {value!r} is already used in line "
                                f"{seen[kind][value]}")
            seen[kind].setdefault(value, line)
        if not 0 < int(match.group(1)) < limit:
            problems.append(f"{where}: number {match.group(1)} is not between 1 and "
                            f"CIPE_DROP_REASONS - 1 ({limit - 1})")
    if not seen["number"]:
        problems.append("drop_reasons.def: no reason found")
    return problems


def check_tree(tree):
    """All rules; an empty list means that the tree keeps them."""
    tree = pathlib.Path(tree)
    libraries, problems = read_libraries(tree)
    if not libraries:
        problems.append("controller/: no cipe_library() found")
    return (problems + check_graph(libraries) + check_controller(tree, libraries)
            + check_bpf(tree) + check_public_headers(tree) + check_cipectl(tree, libraries)
            + check_drop_reasons(tree))
