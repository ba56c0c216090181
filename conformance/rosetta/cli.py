"""Every verb and every option of the suite: ``python -m rosetta VERB --help``. nox calls only this.

A verb's module is imported when it is called, so that each needs only its own dependencies:
``environment`` and ``parity`` run on a Python without any.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from rosetta.targets.cpus import cpus
from rosetta.targets.manifest import ROOT

KINDS = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Verb:
    """What a verb is for, the module whose ``run`` it calls, and what adds its arguments."""

    help: str
    module: str
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb that the arguments name, and return its exit code."""
    options = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = import_module(VERBS[options.verb].module).run
    return run(options)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    made = argparse.ArgumentParser(prog="rosetta", description="Hold servers to spec/.")
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        of_verb = verbs.add_parser(name, help=verb.help, description=verb.help)
        of_verb.add_argument(
            *("--results", "-o"), type=Path, default=ROOT / "results", metavar="DIR"
        )
        of_verb.add_argument("--root", type=Path, default=ROOT, help="the repository")
        verb.arguments(of_verb)
    return made


def positive(text: str) -> int:
    """Return the number of a text; raise ArgumentTypeError unless it is 1 or more."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", choices=KINDS, default="sqlite")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="2 needs Redis")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of generated requests")


def _jobs(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    parser.add_argument(
        *("--jobs", "-j"),
        type=positive,
        default=default or cpus(),
        metavar="N",
        help="how much is done at once; default: as the machine is wide, %(default)s",
    )


def _prove(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tests", nargs="*", metavar="TEST", help="files or tests; default: suite")
    parser.add_argument(
        "--impl",
        action="append",
        default=[],
        metavar="NAME",
        help="an implementation, or the folder of one elsewhere; default: all",
    )
    parser.add_argument("--base-url", metavar="URL", help="test a server that runs already")
    _configuration(parser)
    _jobs(parser)
    parser.add_argument("--rule", action="append", default=[], metavar="ID", help="only its tests")
    parser.add_argument("-k", dest="keyword", metavar="EXPRESSION", help="only tests like this")
    parser.add_argument("-x", "--exit-first", action="store_true", help="stop at a failure")
    parser.add_argument("--full", action="store_true", help="all layers at all, the whole corpus")
    parser.add_argument("--fresh", action="store_true", help="use no earlier result again")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="default: conformance/corpus")


def _replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="implementations; default: all")
    parser.add_argument("--database", choices=KINDS, default="sqlite")
    parser.add_argument("--full", action="store_true", help="the whole corpus")
    parser.add_argument("--file", type=Path, help="a recording in the place of the corpus")
    _jobs(parser)


def _verdict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", type=Path, help="default: all of the directory")


def _record(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the implementation to record, a folder under impl/")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="default: conformance/corpus")


def _distil(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="who answers, then who checks")


def _relay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="implementations; default: all")
    parser.add_argument("--migrated-by", metavar="NAME", help="default: the first")


def _stability(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="N|NAME", help="default: 10, all")
    _configuration(parser)
    _jobs(parser)


def _faults(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="default: every fault")
    parser.add_argument("--rule", action="append", default=[], metavar="ID", help="its faults")
    parser.add_argument("--layers", default="rules", metavar="A,B", help="default: %(default)s")
    parser.add_argument("--add", action="store_true", help="to what faults.json holds already")
    parser.add_argument("--full", action="store_true", help="layer identity: the whole corpus")
    _jobs(parser, cpus() + 1)  # one or another always waits for its server


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the folder under impl/")


def _serve(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    parser.add_argument(
        "--workers", type=positive, default=int(os.environ.get("WORKERS", "1")), metavar="N"
    )


def _environment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="an implementation; default: the suite")


VERBS = {
    "prove": Verb(
        "hold implementations, or any server, to every rule", "rosetta.runner.prove", _prove
    ),
    "replay": Verb(
        "send the corpus to implementations and compare", "rosetta.identity.replay", _replay
    ),
    "verdict": Verb("judge all results of a directory", "rosetta.results.verdict", _verdict),
    "record": Verb("write the corpus anew", "rosetta.identity.record", _record),
    "distil": Verb(
        "choose the lines of the corpus that show all it shows", "rosetta.identity.distil", _distil
    ),
    "relay": Verb("run all on one PostgreSQL database", "rosetta.identity.relay", _relay),
    "stability": Verb(
        "prove again and again, and compare", "rosetta.controls.stability", _stability
    ),
    "faults": Verb("plant faults that the suite must catch", "rosetta.controls.campaign", _faults),
    "parity": Verb(
        "compare the files that implementations have in common", "rosetta.repository.parity"
    ),
    "copies": Verb(
        "copy an implementation and follow its README", "rosetta.repository.copies", _name
    ),
    "facts": Verb("count and measure implementations", "rosetta.repository.facts"),
    "serve": Verb("migrate and serve an implementation", "rosetta.repository.serve", _serve),
    "environment": Verb(
        "make an environment and print its Python", "rosetta.targets.venvs", _environment
    ),
}
