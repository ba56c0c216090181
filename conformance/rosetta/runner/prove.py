"""The proof: every implementation's tests and the replay in one pool, then the verdict."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg
import pytest
from rich.console import Console

from rosetta.identity import corpus, replay
from rosetta.identity.corpus import CorpusError, Recording
from rosetta.identity.replay import Played, Replayed
from rosetta.results import documents, summary, verdict
from rosetta.results.inputs import inputs_of, why_not_again
from rosetta.results.reasons import ONCE, replay_name
from rosetta.results.run import LAYERS, RunResult, commit, now
from rosetta.runner.gather import Gatherer
from rosetta.runner.lane import Subject
from rosetta.runner.plan import rule_texts
from rosetta.runner.pool import Pool
from rosetta.runner.process import check_reachable, target_at
from rosetta.runner.progress import Progress
from rosetta.runner.subjects import blank_result, label_of, logs_of
from rosetta.targets import databases, venvs
from rosetta.targets.manifest import Implementation, ManifestError, select
from rosetta.targets.server import ServerError
from rosetta.targets.venvs import VenvError

BUILDS = 4  # environments at a time
ERRORS = (
    *(ManifestError, VenvError, ServerError, CorpusError),
    *(pytest.UsageError, psycopg.Error),
)


@dataclass
class Proof:
    """One run: what is tested, what was tested before, and what comes of it."""

    options: argparse.Namespace
    console: Console
    rules: Mapping[str, str]
    directory: Path  # that goes with the run
    run_id: str = field(default_factory=lambda: uuid4().hex)
    begin: str = field(default_factory=now)
    subjects: dict[str, Subject] = field(default_factory=dict)
    gatherers: dict[str, Gatherer] = field(default_factory=dict)
    implementations: dict[str, Implementation] = field(default_factory=dict)  # by label
    again: dict[str, RunResult] = field(default_factory=dict)  # earlier results, by label
    answers: dict[str, list[Played]] = field(default_factory=dict)  # earlier ones, by label
    inputs: dict[str, str] = field(default_factory=dict)  # by label

    @property
    def selected(self) -> bool:
        """Whether only some tests are wanted, so that nothing will be proven."""
        return bool(self.options.rule or self.options.keyword or self.options.tests)

    @cached_property
    def recordings(self) -> list[Recording]:
        """The corpus that is played: distilled, or whole; none if nobody is to be compared."""
        compared = len(self.implementations) > 1 and not self.selected
        folder, distilled = self.options.corpus or corpus.FOLDER, not self.options.full
        return corpus.read(folder, distilled=distilled) if compared else []

    @property
    def labels(self) -> list[str]:
        """What is owed a result."""
        return [*self.subjects, *(label for label in self.again if label not in self.subjects)]

    # -- what is tested

    def add_url(self, url: str) -> None:
        """Add a server that runs already; raise ServerError if it does not."""
        target = target_at(url)
        check_reachable(target)
        key = os.environ.get("ROSETTA_SECRET_KEY")
        logs = logs_of(self.options.results, "url")
        self._add(Subject("url", frozenset(LAYERS), logs, target=target, secret_key=key), None)

    def add_all(self, chosen: Iterable[Implementation]) -> None:
        """Add implementations; take earlier results where nothing has changed since."""
        options = self.options
        for implementation in chosen:
            label = label_of(implementation, options.database, options.workers)
            self.implementations[label] = implementation
            configuration = {
                name: getattr(options, name) for name in ("database", "workers", "seed")
            }
            self.inputs[label] = inputs_of(implementation.folder, options.root, configuration)
        lead = self._lead()
        for label, implementation in self.implementations.items():
            every = label == lead or options.full or self.selected
            live = frozenset(LAYERS if every else set(LAYERS) - set(ONCE))
            if not (options.fresh or self.selected):
                self._take_again(label, live)
            if label not in self.again:
                self._add_implementation(label, implementation, live)

    def _lead(self) -> str:
        """Return which implementation runs every layer: one that has, or as the commit says."""
        labels = list(self.implementations)
        if not self.options.fresh:
            for label in labels:
                if not self._why_not(label, frozenset(LAYERS)):
                    return label
        head, _ = commit()
        return labels[int(head or "0", 16) % len(labels)]

    def _why_not(self, label: str, live: frozenset[str]) -> str:
        """Return why the earlier result of a label cannot be used again."""
        try:
            earlier = RunResult.read(self.options.results / f"{label}.json")
        except documents.DocumentError as error:
            return str(error)
        return why_not_again(earlier, self.inputs[label], live)

    def _take_again(self, label: str, live: frozenset[str]) -> None:
        """Take the earlier result of a label, and its answers to the corpus, if they still hold."""
        with suppress(OSError, EOFError, ValueError, KeyError, TypeError):
            kept = json.loads(gzip.decompress(self._kept(label).read_bytes()))
            if kept["inputs"] == self.inputs[label] and kept["full"] == self.options.full:
                self.answers[label] = [Played(**played) for played in kept["played"]]
        complete = label in self.answers or len(self.implementations) == 1
        if complete and not self._why_not(label, live):
            self.again[label] = RunResult.read(self.options.results / f"{label}.json")

    def _add_implementation(
        self, label: str, implementation: Implementation, live: frozenset[str]
    ) -> None:
        subject = Subject(
            label,
            live,
            logs_of(self.options.results, label),
            implementation=implementation,
            database=self.options.database,
            workers=self.options.workers,
            offer=self.directory / label,
        )
        (self.directory / label).mkdir()
        self._add(subject, implementation)

    def _add(self, subject: Subject, implementation: Implementation | None) -> None:
        options = self.options
        result = blank_result(implementation, options, processes=options.jobs, run_id=self.run_id)
        result.live = [layer for layer in LAYERS if layer in subject.live]
        result.inputs = self.inputs.get(subject.label, "")
        self.subjects[subject.label] = subject
        self.gatherers[subject.label] = Gatherer(result, options.results, self.rules)
        self.gatherers[subject.label].begin()

    # -- the corpus

    def played_by(self, label: str, pool: Pool) -> Replayed:
        """Return all that an implementation answered, now or before, and keep it."""
        replayed = Replayed(self.implementations[label].name, inputs=self.inputs[label])
        given = pool.played.get(label) or self.answers.get(label, [])
        for played in given:
            replayed.add(played)
        if not given:
            replayed.problem = "nothing was answered"
        elif not replayed.problem:
            self._keep(label, given)
        return replayed

    def _keep(self, label: str, played: Sequence[Played]) -> None:
        kept = {"inputs": self.inputs[label], "full": self.options.full}
        kept["played"] = [asdict(each) for each in played]
        self._kept(label).parent.mkdir(parents=True, exist_ok=True)
        self._kept(label).write_bytes(gzip.compress(json.dumps(kept).encode(), mtime=0))

    def _kept(self, label: str) -> Path:
        return Path(self.options.results) / "answers" / f"{label}.json.gz"

    # -- the end

    def drop_templates(self) -> None:
        """Drop the databases that lanes have passed on."""
        for subject in self.subjects.values():
            for name in ("migrated", "seeded") if subject.offer else ():
                file = self.directory / subject.label / name
                if file.exists() and (place := file.read_text(encoding="utf-8")):
                    with suppress(psycopg.Error):
                        databases.find(subject.database, place).drop()


def run(options: argparse.Namespace) -> int:
    """Prove what the options name, and return 0 unless the verdict is red."""
    for sent in (signal.SIGINT, signal.SIGTERM):  # a job in the background ignores the first
        signal.signal(sent, signal.default_int_handler)
    console = verdict.console()
    try:
        with _proof(options, console) as proof:
            return 1 if prove(proof) == "red" else 0
    except ERRORS as error:
        print(f"RED: {error}", file=sys.stderr)
        return 1


@contextmanager
def _proof(options: argparse.Namespace, console: Console) -> Iterator[Proof]:
    with TemporaryDirectory(prefix="rosetta-") as directory:
        proof = Proof(options, console, rule_texts(options.root), Path(directory))
        try:
            yield proof
        finally:
            proof.drop_templates()


def prove(proof: Proof) -> str:
    """Test and replay in one pool, and return the verdict: green, partial or red."""
    options = proof.options
    check_paths(options.tests)
    if options.base_url:
        proof.add_url(options.base_url)
    else:
        chosen = select(options.impl, options.root)
        build(chosen.values())
        proof.add_all(chosen.values())
    pool = Pool(
        proof.subjects,
        proof.gatherers,
        {label: proof.recordings for label in proof.implementations if label not in proof.answers},
        *lanes(options),
        Progress(proof.console),
        exit_first=options.exit_first,
    )
    code = collect_and_run(options, pool)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        for gatherer in proof.gatherers.values():
            gatherer.break_off(f"the run ended with {pytest.ExitCode(code).name}")
    return conclude(proof, pool)


def lanes(options: argparse.Namespace) -> tuple[int, int]:
    """Return how many lanes keep a core busy, and how many run what mostly waits.

    One lane more than there are jobs keeps the cores busy: one or another waits for its server. A
    PostgreSQL server that has fewer connections to give gets fewer lanes.
    """
    busy, waiting = options.jobs + 1, options.jobs
    if options.database == "postgresql" and not options.base_url:
        room = databases.room()
        waiting = min(waiting, room // 2)
        busy = min(busy, room - waiting)
    return busy, waiting


def check_paths(tests: Sequence[str]) -> None:
    """Raise UsageError unless each of the tests stands in a file that is there."""
    for test in tests:
        if not Path(test.partition("::")[0]).exists():
            hint = "an implementation is named by --impl, a word of a test's name by -k"
            raise pytest.UsageError(f"{test} is no file of tests; {hint}")


def build(implementations: Iterable[Implementation]) -> None:
    """Make the environments of the implementations, some at a time; raise VenvError."""
    with ThreadPoolExecutor(BUILDS) as pool:
        list(pool.map(venvs.environment_of, implementations))


def collect_and_run(options: argparse.Namespace, pool: Pool) -> int:
    """Run pytest in this process: it collects, and the pool runs the tests."""
    selecting = [f"--rule={rule}" for rule in options.rule]
    selecting += ["-k", options.keyword] if options.keyword else []
    target = ["--base-url", options.base_url] if options.base_url else []
    return pytest.main(
        [
            # The pool shows what happens; output of tests is kept for their reports.
            *("-p", "no:terminal", "--capture=sys", "-p", "no:cacheprovider"),
            *(f"--database={options.database}", f"--workers={options.workers}"),
            *(f"--seed={options.seed}", f"--results={options.results}", f"--root={options.root}"),
            *(*selecting, *target),
            *(options.tests or ["suite"]),
        ],
        [pool],
    )


def conclude(proof: Proof, pool: Pool) -> str:
    """Compare the answers, put all results together, and return the verdict on them."""
    options = proof.options
    parts = summary.Parts(runs=[gatherer.result for gatherer in proof.gatherers.values()])
    parts.runs += proof.again.values()
    parts.runs.sort(key=lambda run: run.label)
    owed = list(proof.labels)
    if proof.recordings:
        owed.append(replay_name(options.database))
        parts.replays.append(_replay(proof, pool))
    document = summary.summary(
        parts,
        run_id=proof.run_id,
        expected=owed,
        reused=sorted(proof.again),
        root=options.root,
    )
    return verdict.conclude(document, options.results, proof.console)


def _replay(proof: Proof, pool: Pool) -> documents.Json:
    """Return the document of the replay."""
    options = proof.options
    shutil.rmtree(options.results / "replay.logs", ignore_errors=True)
    plan = replay.Plan(
        {each.name: each for each in proof.implementations.values()},
        proof.recordings,
        options.database,
        options.results,
        full=options.full,
    )
    replayed = [proof.played_by(label, pool) for label in proof.implementations]
    return replay.conclude(plan, replayed, proof.run_id, proof.begin)
