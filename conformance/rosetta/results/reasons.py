"""Why a summary is no proof, and the verdict in words: whatever is unknown or missing is red.

Two things can speak against a proof. A *reason* makes the verdict RED. A *gap* is something that
was left out on purpose, or cannot be had from outside: it makes the verdict PARTIAL.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from rosetta.results.run import LAYERS, OUTCOMES, RunResult

Json = Any
Status = Literal["green", "partial", "red"]
LEAST_COMPARED = 2  # implementations
ONCE = ("contract", "model")  # layers that may run live at one implementation only


def judge(document: Json) -> dict[str, list[str]]:
    """Return why a summary is red, by what is to blame; nothing means green or partial."""
    reasons = {"results": list(document["problems"])}
    for name in document["missing"]:
        reasons[name] = ["no result"]
    runs = [RunResult.of(run) for run in document["runs"]]
    for run in runs:
        found = run_reasons(run) + unproven_layers(run, runs, document["replays"])
        if lacking := [rule for rule in document["rules"] if rule not in run.rules]:
            found.append(f"tells nothing of {len(lacking)} rules: {', '.join(lacking)}")
        reasons[run.label] = document["stale"].get(run.label, []) + found
    for name, part in parts_of(document):
        stale = document["stale"].get(name, [])
        reasons[name] = stale + JUDGES[part["kind"]](part, runs)
    if not any([runs, document["missing"], *parts_of(document)]):
        reasons["results"].append("no result found")
    return {name: found for name, found in reasons.items() if found}


def gaps(document: Json) -> dict[str, list[str]]:
    """Return what makes a summary partial, by what is to blame."""
    found = {run.label: run_gaps(run) for run in map(RunResult.of, document["runs"])}
    for name, part in parts_of(document):
        found[name] = [part["partial"]] if part.get("partial") else []
    return {name: what for name, what in found.items() if what}


def parts_of(document: Json) -> list[tuple[str, Json]]:
    """Return the documents of a summary that are not runs, by name."""
    replays = [(replay_name(replay["database"]), replay) for replay in document["replays"]]
    others = [(kind, document[kind]) for kind in ("relay", "faults", "stability") if document[kind]]
    return [*replays, *others]


def replay_name(database: str) -> str:
    """Return the name of the replay on a database, which is that of its file, too."""
    return "replay" if database == "sqlite" else f"replay-{database}"


# -- runs


def run_reasons(run: RunResult) -> list[str]:
    """Return why a run is red by itself: whatever is unknown or missing is a reason."""
    reasons: list[str] = []
    if not run.finished:
        reasons.append("has not finished")
    elif not run.complete:
        reasons.append("was broken off")
    return reasons + run.problems + _test_reasons(run) + _rule_reasons(run)


def run_gaps(run: RunResult) -> list[str]:
    """Return what a run has left out: by a selection, or because the server is not ours."""
    if run.partial:
        return [run.partial]
    if run.base_url is None:
        return []
    untested = _untested(run)
    told = [f"{', '.join(rules)} ({why})" for why, rules in untested.items()]
    count = sum(map(len, untested.values()))
    return [f"{count} rules not tested: {'; '.join(told)}"] if told else []


def _untested(run: RunResult) -> Mapping[str, list[str]]:
    """Return the rules of which no test ran, by the reason."""
    found: dict[str, list[str]] = defaultdict(list)
    for rule, outcome in run.rules.items():
        if outcome == "not-run":
            reasons = {test.reason for test in run.tests if rule in test.rules and test.reason}
            found[", ".join(sorted(reasons)) or "no test"].append(rule)
    return found


def _test_reasons(run: RunResult) -> list[str]:
    reasons = []
    if failed := sum(test.outcome == "failed" for test in run.tests):
        reasons.append(f"{failed} tests failed")
    known = [t for t in run.tests if t.outcome in OUTCOMES and (t.outcome != "not-run" or t.reason)]
    if unknown := len(run.tests) - len(known):
        reasons.append(f"{unknown} tests have no known outcome")
    if run.partial:
        return reasons
    passed = {test.layer for test in run.tests if test.outcome == "passed"}
    return reasons + [
        f"no test of layer {layer} passed" for layer in run.live if layer not in passed
    ]


def _rule_reasons(run: RunResult) -> list[str]:
    if not run.rules:
        return ["no rule was tested"]
    reasons = []
    if broken := [rule for rule, got in run.rules.items() if got == "failed"]:
        reasons.append(f"{len(broken)} rules broken: {', '.join(broken)}")
    untested = [rule for rule, got in run.rules.items() if got == "not-run"]
    if untested and not run_gaps(run):
        reasons.append(f"{len(untested)} rules not tested: {', '.join(untested)}")
    if odd := [rule for rule, got in run.rules.items() if got not in OUTCOMES]:
        reasons.append(f"{len(odd)} rules with an unknown outcome: {', '.join(odd)}")
    return reasons


# -- layers by identity


def unproven_layers(
    run: RunResult, runs: Iterable[RunResult], replays: Sequence[Json]
) -> list[str]:
    """Return the layers that neither ran at an implementation nor are proven by identity."""
    if run.partial:
        return []
    missing = [layer for layer in LAYERS if layer not in run.live]
    if "rules" in missing:
        return ["layer rules did not run"]
    return [
        f"layer {layer} neither ran nor is proven by identity"
        for layer in missing
        if lead_of(run, layer, runs, replays) is None
    ]


def lead_of(
    run: RunResult, layer: str, runs: Iterable[RunResult], replays: Sequence[Json]
) -> RunResult | None:
    """Return the run from which a layer follows by identity, if there is one.

    It ran the layer, with nothing against it, in the same configuration; both answered every line
    of the corpus alike; and those answers were held to the contract.
    """
    group = _identical_with(run, replays)
    for other in runs:
        same = other.configuration == run.configuration
        sound = not run_reasons(other) and not run_gaps(other)
        if other.implementation in group and layer in other.live and same and sound:
            return other
    return None


def _identical_with(run: RunResult, replays: Sequence[Json]) -> Sequence[str]:
    """Return the implementations whose answers were all those of this one, and right."""
    for replay in replays:
        sound = not replay["partial"] and replay["judged"]["answers"]
        if replay["database"] == run.database and sound and not replay_reasons(replay, []):
            groups: list[list[str]] = replay["groups"] if run.base_url is None else []
            return next((group for group in groups if run.implementation in group), [])
    return []


# -- what is not a run


def replay_reasons(replay: Json, runs: Sequence[RunResult]) -> list[str]:
    """Return why a replay is no proof that those that were run are identical."""
    reasons = list(replay["problems"])
    if found := len(replay["differences"]):
        reasons.append(f"{found} requests were not answered alike")
    if failures := replay["judged"]["failures"]:
        rules = ", ".join(dict.fromkeys(failure["rule"] for failure in failures))
        reasons.append(f"{len(failures)} answers are not what the contract says: {rules}")
    if not requests_of(replay):
        reasons.append("nothing was sent")
    if len(replay["implementations"]) < LEAST_COMPARED:
        reasons.append(f"{len(replay['implementations'])} implementations are too few to compare")
    agreed = {name for group in replay["groups"] for name in group}
    if silent := [name for name in replay["implementations"] if name not in agreed]:
        reasons.append(f"without answers: {', '.join(silent)}")
    if len(replay["groups"]) > 1:
        groups = " | ".join(", ".join(group) for group in replay["groups"])
        reasons.append(f"only these agree in everything: {groups}")
    reasons += _left_out(replay, [run for run in runs if run.database == replay["database"]])
    if replay["verdict"] != "identical" and not reasons:
        reasons.append(f"says {replay['verdict']}")
    return reasons


def _left_out(part: Json, runs: Sequence[RunResult]) -> list[str]:
    """Return that a part has not all the implementations that were run."""
    ours = {run.implementation for run in runs if run.base_url is None and not run.partial}
    left_out = sorted(ours - set(part["implementations"]))
    return [f"left out {', '.join(left_out)}"] if left_out else []


def relay_reasons(relay: Json, runs: Sequence[RunResult]) -> list[str]:
    """Return why a relay is no proof that the implementations are interchangeable."""
    reasons = [relay["problem"].splitlines()[0]] if relay["problem"] else []
    if not relay["requests"]:
        reasons.append("nothing was sent")
    if len(relay["implementations"]) < LEAST_COMPARED:
        reasons.append(f"{len(relay['implementations'])} implementations are too few")
    reasons += _left_out(relay, runs)
    if relay["verdict"] != "interchangeable" and not reasons:
        reasons.append(f"says {relay['verdict']}")
    return reasons


def matrix_reasons(matrix: Json, _: Sequence[RunResult]) -> list[str]:
    """Return why the negative controls are no proof that the suite catches what it must."""
    reasons = [] if matrix["faults"] else ["no fault was tried"]
    lost = [each for each in matrix["faults"] if each["outcome"] not in {"caught", "untried"}]
    untried = sum(each["outcome"] == "untried" for each in matrix["faults"])
    if untried and not matrix["partial"]:
        reasons.append(f"{untried} not tried at their own rules")
    if lost:
        told = ", ".join(f"{each['id']} ({each['outcome']})" for each in lost)
        reasons.append(f"{len(lost)} not caught: {told}")
    if failing := matrix["control"]["failing"]:
        reasons.append(f"tests that fail without a fault, too: {', '.join(failing)}")
    return reasons


def stability_reasons(stability: Json, _: Sequence[RunResult]) -> list[str]:
    """Return why repeated runs are no proof that a verdict is always the same."""
    reasons = [] if stability["implementations"] else ["nothing was run"]
    for name, found in stability["implementations"].items():
        if found["differing"]:
            reasons.append(f"{name}: {len(found['differing'])} tests not always the same")
        if red := sum(bool(verdict) for verdict in found["verdicts"]):
            reasons.append(f"{name}: {red} of {len(found['verdicts'])} runs were red")
        if len(found["verdicts"]) != stability["runs"] or not found["tests"]:
            reasons.append(f"{name}: {len(found['verdicts'])} of {stability['runs']} runs")
    if stability["verdict"] != "stable" and not reasons:
        reasons.append(f"says {stability['verdict']}")
    return reasons


JUDGES = {
    "replay": replay_reasons,
    "relay": relay_reasons,
    "faults": matrix_reasons,
    "stability": stability_reasons,
}


# -- in words


def closing(part: Json) -> tuple[bool, str]:
    """Return whether nothing makes one document red, and its last line.

    For what a session of its own says at its end; the summary's verdict is of all together.
    """
    words, partial = WORDS[part["kind"]](part), part.get("partial", "")
    if reasons := JUDGES[part["kind"]](part, []):
        return False, f"RED: {words}: {'; '.join(reasons)}"
    return True, f"PARTIAL: {words}: {partial}" if partial else f"GREEN: {words}"


def verdict_of(document: Json) -> dict[str, Json]:
    """Return the verdict on a summary, as the summary holds it."""
    reasons, left_out = judge(document), gaps(document)
    status: Status = "red" if reasons else "partial" if left_out else "green"
    return {
        "status": status,
        "reasons": reasons,
        "gaps": left_out,
        "lines": lines_of(document, reasons, left_out),
    }


def lines_of(
    document: Json, reasons: Mapping[str, Sequence[str]], left_out: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return a line for each part that is not a run, and the closing line."""
    told = {name: WORDS[part["kind"]](part) for name, part in parts_of(document)}
    lines = [f"{name}: {words}" for name, words in told.items()]
    if reasons:
        red = [f"{name}: no result" if name in document["missing"] else name for name in reasons]
        return [*lines, f"RED: {', '.join(red)}"]
    runs = [RunResult.of(run) for run in document["runs"]]
    if left_out:
        partial = [f"{run.label}: {_counted(run)}" for run in runs if run.label in left_out]
        partial += [f"{name}: {what[0]}" for name, what in left_out.items() if name in told]
        return [*lines, f"PARTIAL: {'; '.join(partial)}"]
    return [*lines, f"GREEN: {'; '.join([*_proven(runs, document), *told.values()])}"]


def _counted(run: RunResult) -> str:
    """Return how many rules a run without all of them has tested, and what is missing."""
    passed = sum(outcome == "passed" for outcome in run.rules.values())
    return f"{passed} of {len(run.rules)} rules, all passed; {'; '.join(run_gaps(run))}"


def _proven(runs: Sequence[RunResult], document: Json) -> list[str]:
    if not runs:
        return []
    passed = sum(test.outcome == "passed" for run in runs for test in run.tests)
    names = ", ".join(run.label for run in runs)
    return [f"{names} conform to all {len(document['rules'])} rules ({passed} tests passed)"]


def requests_of(replay: Json) -> int:
    """Return how many requests each implementation was sent."""
    return sum(part["requests"] for part in replay["corpus"].values())


def replay_in_words(replay: Json) -> str:
    """Return what a replay found in one line."""
    groups = len(replay["groups"])
    alike = "identical" if groups == 1 else f"{len(replay['differences'])} not answered alike"
    messages = sum(part["messages"] for part in replay["corpus"].values())
    sent = f"{requests_of(replay)} requests, {messages} feed messages"
    return f"{sent}, {len(replay['implementations'])} implementations, {alike}"


def relay_in_words(relay: Json) -> str:
    """Return what a relay found in one line."""
    names = f"{len(relay['implementations'])} implementations on one database"
    return f"{relay['requests']} requests handed round {names}, {relay['verdict']}"


def matrix_in_words(matrix: Json) -> str:
    """Return what the negative controls found in one line."""
    caught = sum(each["outcome"] == "caught" for each in matrix["faults"])
    rules = len({each["rule"] for each in matrix["faults"]})
    return f"{caught} of {len(matrix['faults'])} faults, of {rules} rules, caught"


def stability_in_words(stability: Json) -> str:
    """Return what repeated runs found in one line."""
    names = ", ".join(stability["implementations"])
    return f"{stability['runs']} runs of {names or 'nothing'}, {stability['verdict']}"


WORDS = {
    "replay": replay_in_words,
    "relay": relay_in_words,
    "faults": matrix_in_words,
    "stability": stability_in_words,
}
