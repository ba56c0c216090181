"""The kill matrix: what each layer made of each fault, as JSON and as docs/faults.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from rosetta.controls.fault import Fault

LAYERS = ("rules", "contract", "model", "identity")
# conformance/README.md says what each means.
Outcome = Literal["caught", "survived", "broke", "unproven", "untried"]
Memory = Mapping[str, Mapping[str, Mapping[str, Any]]]  # findings by fault and layer
INTRODUCTION = """\
Written by `nox -s faults`. Each fault is planted in a copy of `impl/{implementation}`, and the
tests of the rule that it breaks are run until one fails; it counts as caught only if the server
still works at large. The seconds are those of the whole run, the start of the server among them.

The layers beside (`--layers`) know no rule, and what survives them is no defect: the contract layer
looks at one request at a time, the model at what its machines can reach, identity at what the
answers to the corpus show. Each column is of the last run that tried every fault at its layer, not
all of one run; what no such run has tried was tried apart."""


@dataclass
class Finding:
    """What one layer made of one fault."""

    outcome: Outcome
    seconds: float
    tests: list[str] = field(default_factory=list)  # that failed; the first one ends the run
    evidence: str = ""  # what the failure says first, or why there is no outcome

    def take_back(self, why: str) -> None:
        """Credit the layer with nothing."""
        self.outcome, self.evidence = "unproven", why


@dataclass
class Trial:
    """One fault and what was found, by layer."""

    fault: Fault
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """What the tests of the fault's own rule made of it.

        Without them it is untried, unless a layer beside, which knows no rule, had no server to
        test or did not come to its end.
        """
        if "rules" in self.findings:
            return self.findings["rules"].outcome
        outcomes = [finding.outcome for finding in self.findings.values()]
        return next((each for each in outcomes if each in {"broke", "unproven"}), "untried")


@dataclass
class Matrix:
    """All trials of one run, and which of the tests that caught a fault fail without one."""

    trials: Sequence[Trial]
    layers: Sequence[str]
    failing: Sequence[str] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any], faults: Sequence[Fault]) -> Matrix:
        """Return the matrix of results/faults.json, without what is no fault any more."""
        found = {row["id"]: row["findings"] for row in document["faults"]}
        trials = [
            Trial(fault, {layer: Finding(**each) for layer, each in found[fault.id].items()})
            for fault in faults
            if fault.id in found
        ]
        return cls(trials, document["layers"], document["control"]["failing"])

    @classmethod
    def recalled(cls, memory: Memory, faults: Sequence[Fault]) -> Matrix:
        """Return the matrix of faults/findings.json, without what is no fault any more."""
        trials = [
            Trial(fault, {name: Finding(**found) for name, found in memory[fault.id].items()})
            for fault in faults
            if fault.id in memory
        ]
        tried = {layer for trial in trials for layer in trial.findings}
        return cls(trials, [layer for layer in LAYERS if layer in tried])

    def joined(self, newer: Matrix, faults: Sequence[Fault]) -> Matrix:
        """Return both in one, in the order of the faults; what is newer counts."""
        both = defaultdict[str, dict[str, Finding]](dict)
        for trial in (*self.trials, *newer.trials):
            both[trial.fault.id] |= trial.findings
        trials = [Trial(fault, both[fault.id]) for fault in faults if fault.id in both]
        layers = [layer for layer in LAYERS if layer in {*self.layers, *newer.layers}]
        joined = Matrix(trials, layers)
        failing = sorted({*self.failing, *newer.failing} & joined.tests)
        return replace(joined, failing=failing)

    @property
    def tests(self) -> set[str]:
        """The tests that failed for a fault."""
        findings = [found for trial in self.trials for found in trial.findings.values()]
        return {test for found in findings for test in found.tests}

    @property
    def lost(self) -> list[Trial]:
        """The trials whose fault was tried and not caught."""
        return [trial for trial in self.trials if trial.outcome not in {"caught", "untried"}]

    @property
    def partial(self) -> bool:
        """Whether some fault was not tried at its own rule."""
        return not all("rules" in trial.findings for trial in self.trials)

    def of_all(self, faults: Sequence[Fault]) -> Matrix:
        """Return what was found at the layers at which every one of the faults was tried."""
        names = {fault.id for fault in faults}
        layers = [layer for layer in self.layers if self._tried(layer) >= names]
        trials = [
            Trial(trial.fault, {layer: trial.findings[layer] for layer in layers})
            for trial in self.trials
            if trial.fault.id in names
        ]
        return replace(self, trials=trials, layers=layers)

    def lacking(self, known: Matrix) -> Matrix:
        """Return what is sure here and was not so there."""
        had = {trial.fault.id: _sure(trial) for trial in known.trials}
        trials = []
        for trial in self.trials:
            new = _sure(trial).keys() - had.get(trial.fault.id, {}).keys()
            findings = {layer: trial.findings[layer] for layer in self.layers if layer in new}
            trials += [Trial(trial.fault, findings)] if findings else []
        layers = [layer for layer in self.layers if any(layer in t.findings for t in trials)]
        return replace(self, trials=trials, layers=layers)

    def _tried(self, layer: str) -> set[str]:
        return {trial.fault.id for trial in self.trials if layer in trial.findings}

    def catches(self) -> str:
        """Return in words how many faults each layer caught."""
        findings = [trial.findings for trial in self.trials]
        caught = {
            layer: sum(found[layer].outcome == "caught" for found in findings if layer in found)
            for layer in self.layers
        }
        return ", ".join(f"{layer} caught {count}" for layer, count in caught.items())

    def known(self) -> dict[str, str]:
        """Return which test of its rule caught each fault."""
        found = {trial.fault.id: trial.findings.get("rules") for trial in self.trials}
        return {name: each.tests[0] for name, each in sorted(found.items()) if each and each.tests}

    def memory(self) -> dict[str, dict[str, Any]]:
        """Return what faults/findings.json keeps: by fault and layer, with the first test alone."""

        def kept(found: Finding) -> dict[str, Any]:
            return {"outcome": found.outcome, "seconds": found.seconds, "tests": found.tests[:1]}

        return {
            trial.fault.id: {layer: kept(found) for layer, found in trial.findings.items()}
            for trial in self.trials
        }

    def as_json(self) -> dict[str, Any]:
        """Return what was found as results/faults.json has it."""
        return {
            "layers": list(self.layers),
            "control": {"tests": sorted(self.tests), "failing": list(self.failing)},
            "faults": [_as_json(trial) for trial in self.trials],
        }


def _sure(trial: Trial) -> dict[str, Finding]:
    """Return the findings that another run need not repeat; no fault may survive its own rule."""
    return {
        layer: found
        for layer, found in trial.findings.items()
        if found.outcome == "caught" or (found.outcome == "survived" and layer != "rules")
    }


def _as_json(trial: Trial) -> dict[str, Any]:
    known = asdict(trial.fault)
    del known["edits"]
    return {**known, "outcome": trial.outcome, **asdict(trial, dict_factory=_findings)}


def _findings(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if name != "fault"}


# -- docs/faults.md


def document(matrix: Matrix, implementation: str) -> str:
    """Return docs/faults.md: what was not caught first, then every fault by its rule."""
    introduction = INTRODUCTION.format(implementation=implementation)
    lines = ["# Faults that the suite must catch", "", introduction, "", totals(matrix)]
    if matrix.lost:
        lines += ["", "## Not caught: defects of the suite", "", *_table(matrix.lost, matrix)]
    lines += ["", "## All", "", *_table(matrix.trials, matrix), ""]
    return "\n".join(lines)


def totals(matrix: Matrix) -> str:
    """Return the figures in a sentence or two."""
    caught = sum(trial.outcome == "caught" for trial in matrix.trials)
    rules = {trial.fault.rule for trial in matrix.trials}
    failing = ", ".join(f"`{test}`" for test in matrix.failing)
    return (
        f"**{caught} of {len(matrix.trials)} faults, of {len(rules)} rules, are caught.** "
        f"The {len(matrix.tests)} tests that caught them pass without a fault"
        + (f", **but for {failing}**." if failing else ".")
    )


def _table(trials: Sequence[Trial], matrix: Matrix) -> list[str]:
    titles = ["caught by" if layer == "rules" else f"layer {layer}" for layer in matrix.layers]
    names = ["rule", "fault", "what is wrong", *titles]
    rows = [_row(trial, matrix.layers) for trial in trials]
    return [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}", *rows]


def _row(trial: Trial, layers: Sequence[str]) -> str:
    fault = trial.fault
    several = f", {fault.workers} workers" if fault.workers > 1 else ""
    where = "" if fault.database == "sqlite" else f" ({fault.database}{several})"
    cells = [f"`{fault.rule}`", f"`{fault.id}`", f"{fault.wrong}{where}".replace("|", "\\|")]
    return f"| {' | '.join([*cells, *(_cell(trial, layer) for layer in layers)])} |"


def _cell(trial: Trial, layer: str) -> str:
    finding = trial.findings.get(layer)
    if finding is None:
        return "not tried"
    if finding.outcome != "caught":
        return f"**{finding.outcome}**" if layer == "rules" else finding.outcome
    name = finding.tests[0].partition("::")[2].partition("[")[0].removeprefix("test_")
    return f"{name.replace('_', ' ')} ({finding.seconds:.1f} s)"


# -- the terminal


def show(trial: Trial, console: Console) -> None:
    """Print one fault and what became of it."""
    for layer, found in trial.findings.items():
        line = f"{found.outcome:9}{found.seconds:6.1f} s  {trial.fault.id}"
        line += "" if layer == "rules" else f" ({layer})"
        red = "bold red" if layer == "rules" else ""
        style = "green" if found.outcome == "caught" else red
        console.print(Text(line, style=style), soft_wrap=True)
        told = ": ".join([*found.tests[:1], found.evidence])
        if told:
            console.print(Text(f"    {told}", style="dim"), soft_wrap=True)


def conclude(matrix: Matrix, console: Console) -> None:
    """Print what was not caught, and which tests fail for no reason."""
    for trial in matrix.lost:
        fault = trial.fault
        line = f"{trial.outcome.upper()}: {fault.id} (rule {fault.rule}): {fault.wrong}"
        console.print(Text(line, style="bold red"), soft_wrap=True)
        for found in trial.findings.values():
            if found.outcome == trial.outcome and found.evidence:
                console.print(Text(f"    {found.evidence}", style="dim"), soft_wrap=True)
    for test in matrix.failing:
        line = f"FAILS WITHOUT A FAULT, TOO: {test}"
        console.print(Text(line, style="bold red"), soft_wrap=True)
