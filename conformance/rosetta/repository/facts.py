"""Measure every implementation and write the tables of README.md and impl/README.md."""

from __future__ import annotations

import argparse
import ast
import io
import re
import statistics
import sys
import time
import tokenize
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rosetta.clients.http import Api, expect
from rosetta.repository.concerns import CONCERNS
from rosetta.results.run import versions
from rosetta.targets.fleet import Fleet
from rosetta.targets.manifest import Implementation, ManifestError, select
from rosetta.targets.server import ServerError
from rosetta.targets.venvs import VenvError, environment_of

BEGIN, END = "<!-- written by nox -s facts -->", "<!-- end of what nox -s facts wrote -->"
NOT_THE_APP = {"tests", "migrations"}
BENT = re.compile(r"^\s*# Contract:", re.MULTILINE)
STARTS = 5
REQUESTS = 200
MEBIBYTE = 2**20
NOT_CODE = {
    *(tokenize.COMMENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER),
    *(tokenize.INDENT, tokenize.NEWLINE, tokenize.NL),
}
HEADINGS = (
    *("framework", "server", "own lines", "shared lines", "bent to the contract"),
    *("direct dependencies", "start-up", "memory"),
)


@dataclass(frozen=True)
class Facts:
    """What is known of one implementation; ``startup`` in seconds, ``rss`` in bytes."""

    framework: str
    server: str
    own_lines: int
    shared_lines: int
    bent: int
    dependencies: int
    startup: float
    rss: int

    def cells(self) -> list[str]:
        """Return a row of the table."""
        counts = (self.own_lines, self.shared_lines, self.bent, self.dependencies)
        memory = f"{self.rss / MEBIBYTE:.0f} MiB"
        return [self.framework, self.server, *map(str, counts), f"{self.startup:.1f} s", memory]


def facts_of(implementation: Implementation) -> Facts:
    """Read the folder and start its server; raise ServerError or VenvError."""
    installed = versions(
        environment_of(implementation),
        {"framework": implementation.package, "server": implementation.server},
    )
    shared = {implementation.folder / file for file in implementation.parity.values()}
    files = list(app_files(implementation.folder))
    startup, rss = measure(implementation)
    title = f"[{implementation.framework}](impl/{implementation.name}/) {installed['framework']}"
    server = "its own"
    if implementation.server != implementation.package:
        server = f"{implementation.server} {installed['server']}"
    return Facts(
        framework=title,
        server=server,
        own_lines=sum(lines_of_code(path) for path in files if path not in shared),
        shared_lines=sum(lines_of_code(path) for path in files if path in shared),
        bent=sum(len(BENT.findall(path.read_text(encoding="utf-8"))) for path in files),
        dependencies=dependencies_of(implementation.folder),
        startup=startup,
        rss=rss,
    )


def app_files(folder: Path) -> Iterator[Path]:
    """Yield the Python files of an implementation but for its tests and migrations."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts[:-1]
        hidden = any(part.startswith(".") for part in parts)
        if not hidden and not NOT_THE_APP.intersection(parts):
            yield path


def lines_of_code(path: Path) -> int:
    """Return how many lines of a Python file hold more than comment, docstring or nothing."""
    source = path.read_text(encoding="utf-8")
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in NOT_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - set(docstring_lines(ast.parse(source))))


def docstring_lines(tree: ast.AST) -> Iterator[int]:
    """Yield the numbers of the lines that docstrings take."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            yield from range(first.lineno, (first.end_lineno or first.lineno) + 1)


def dependencies_of(folder: Path) -> int:
    """Return how many packages the project asks for by name."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    return len(project["project"]["dependencies"])


def measure(implementation: Implementation) -> tuple[float, int]:
    """Return the median start-up in seconds, and the resident memory after some requests."""
    with TemporaryDirectory(prefix="rosetta-facts-") as logs:
        fleet = Fleet(implementation, "sqlite", 1, Path(logs))
        try:
            server = fleet.server("facts")
            seconds = []
            for _ in range(STARTS):
                server.stop()
                begin = time.monotonic()
                server.start()
                seconds.append(time.monotonic() - begin)
            with Api(server) as api:
                item = api.create_item(owner := api.sign_up())
                for _ in range(REQUESTS):
                    expect(api.get(item.path, token=owner), 200)
            return statistics.median(seconds), server.rss()
        finally:
            fleet.close()


def table_of(facts: Sequence[Facts]) -> str:
    """Return the facts as a table in Markdown."""
    alignment = ["---", "---", *["---:"] * (len(HEADINGS) - 2)]
    return _markdown([HEADINGS, alignment, *(fact.cells() for fact in facts)])


def concerns_of(implementations: Iterable[Implementation]) -> str:
    """Return, as a table in Markdown, which symbol of which file does what in each folder."""
    sides = list(implementations)
    rows = [
        [name, *(_link(side, side.concerns.get(name, "")) for side in sides)] for name in CONCERNS
    ]
    headings = ["", *(f"[{side.framework}]({side.name}/)" for side in sides)]
    return _markdown([headings, ["---"] * len(headings), *rows])


def _link(implementation: Implementation, place: str) -> str:
    file, _, symbol = place.partition(":")
    return f"[`{symbol}`]({implementation.name}/{file})"


def _markdown(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(readme: Path, table: str) -> None:
    """Replace what stands between the two marks; raise ValueError if they are not there."""
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme} has no {BEGIN} … {END}")
    readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def run(options: argparse.Namespace) -> int:
    """Write both tables and print the first; return 1 if that is not possible."""
    root: Path = options.root
    try:
        implementations = select(root=root)
        facts = [facts_of(implementation) for implementation in implementations.values()]
        table = table_of(facts)
        write(root / "README.md", table)
        write(root / "impl" / "README.md", concerns_of(implementations.values()))
    except (ManifestError, VenvError, ServerError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(table)
    return 0
