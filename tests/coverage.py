"""What `make coverage` has measured: how many lines the tests have run.

coverage.py TRACE          a table: the core file by file, everything else folder by folder
coverage.py TRACE PATH...  the lines of these files and folders that no test has run

TRACE is a file in lcov's format. Tests need no tests: what follows `#[cfg(test)]` is left out, be it
an item or a module in files of its own.
"""

import re
import sys
from pathlib import Path


def test_lines(path, text):
    """The lines of a file that only tests have, and the modules that it declares for them alone."""
    lines, modules = set(), []
    for start, line in enumerate(text):
        if line.strip() != "#[cfg(test)]":
            continue
        # As rustfmt writes it: an item ends in its first line, or with a brace in its own column.
        close = line[: line.index("#")] + "}"
        end = start + 1
        if not text[end].endswith(";"):
            while not text[end].startswith(close):
                end += 1
        lines.update(range(start, end + 1))
        if module := re.search(r"\bmod (\w+);", text[start + 1]):
            folder = path.parent if path.name == "lib.rs" else path.with_suffix("")
            modules.append(folder / module[1])
    return lines, modules


def read(trace):
    """Of each file: its lines by number, each with what it says and how often it was run."""
    counts = {}
    for record in Path(trace).read_text().splitlines():
        kind, _, rest = record.partition(":")
        if kind == "SF":
            file = counts.setdefault(Path(rest).resolve(), {})
        elif kind == "DA":
            number, count = rest.split(",")[:2]
            file[int(number)] = int(count)
    files, tests = {}, []
    for path in sorted(Path("src").rglob("*.rs")):
        text = path.read_text().splitlines()
        skipped, modules = test_lines(path, text)
        tests += modules
        files[path] = {
            number: (text[number - 1].strip(), count)
            for number, count in sorted(counts.get(path.resolve(), {}).items())
            if number - 1 not in skipped
        }
    return {
        path: lines
        for path, lines in files.items()
        if lines and not any(is_in(path, test) for test in tests)
    }


def is_in(path, module):
    return module in path.with_suffix("").parents or module == path.with_suffix("")


def table(files):
    core, others = {}, {}
    for path, lines in files.items():
        name = path.relative_to("src")
        rows, row = (core, name) if name.parts[0] in ("raft", "raft.rs") else (others, name.parts[0])
        covered, of = rows.get(str(row).removesuffix(".rs"), (0, 0))
        covered += sum(count > 0 for _, count in lines.values())
        rows[str(row).removesuffix(".rs")] = (covered, of + len(lines))

    def line(name, covered, lines):
        # Rounded down: only what is covered is 100.
        print(f"{name:<20} {covered:>8} {lines:>8} {1000 * covered // lines / 10:>9.1f}")

    print(f"{'module':<20} {'covered':>8} {'lines':>8} {'per cent':>9}")
    for rows, whole in [(core, "the core"), (others, "everything else")]:
        for name, counts in sorted(rows.items()):
            line(name, *counts)
        line(whole, *map(sum, zip(*rows.values())))


def uncovered(files, wanted):
    for path, lines in files.items():
        if any(path == Path(name) or Path(name) in path.parents for name in wanted):
            for number, (text, count) in lines.items():
                if count == 0:
                    print(f"{path}:{number}: {text}")


if len(sys.argv) < 2:
    raise SystemExit(__doc__)
files = read(sys.argv[1])
if not files:
    raise SystemExit(f"{sys.argv[1]} tells nothing of what is in src here")
if wanted := sys.argv[2:]:
    uncovered(files, wanted)
else:
    table(files)
