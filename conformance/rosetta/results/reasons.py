"""Why a summary is no proof, and the verdict in words: whatever is unknown or missing is red."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rosetta.results.run import LAYERS, OUTCOMES, RunResult

Json = Any
LEAST_COMPARED = 2  # implementations


def judge(document: Json) -> dict[str, list[str]]:
    """Return why a summary is no proof, by what is to blame; nothing means green."""
    reasons = {"results": list(document["problems"])}
    for name in document["missing"]:
        reasons[name] = ["no result"]
    for run in map(RunResult.of, document["runs"]):
        reasons[run.label] = _stale(document, run.document) + run_faults(run)
        if lacking := [rule for rule in document["rules"] if rule not in run.rules]:
            reasons[run.label].append(
                f"tells nothing of {len(lacking)} rules: {', '.join(lacking)}"
            )
    for kind, judging in JUDGES.items():
        if document[kind]:
            reasons[kind] = _stale(document, document[kind]) + judging(document)
    if not any([document["runs"], document["missing"], *map(document.get, JUDGES)]):
        reasons["results"].append("no result found")
    return {name: found for name, found in reasons.items() if found}


def _stale(document: Json, part: Json) -> list[str]:
    """Return why a part is of another run; of a summary without one, of another commit."""
    if document["run_id"] and part["run_id"] != document["run_id"]:
        return [f"is from an older run, of {part['started']}"]
    if not document["run_id"] and part["commit"] != document["commit"]:
        return [f"is of another commit, {part['commit'][:10] or 'unknown'}"]
    return []


def run_faults(run: RunResult) -> list[str]:
    """Return why a run is no proof: whatever is unknown, missing or partial is a fault."""
    faults: list[str] = []
    if not run.finished:
        faults.append("has not finished")
    elif not run.complete:
        faults.append("was broken off")
    if run.partial:
        faults.append(f"is partial: {run.partial}")
    return faults + run.problems + _test_faults(run) + _rule_faults(run.rules)


def _test_faults(run: RunResult) -> list[str]:
    faults = []
    if failed := sum(test.outcome == "failed" for test in run.tests):
        faults.append(f"{failed} tests failed")
    known = [t for t in run.tests if t.outcome in OUTCOMES and (t.outcome != "not-run" or t.reason)]
    if unknown := len(run.tests) - len(known):
        faults.append(f"{unknown} tests have no known outcome")
    passed = {test.layer for test in run.tests if test.outcome == "passed"}
    return faults + [f"no test of layer {layer} passed" for layer in LAYERS if layer not in passed]


def _rule_faults(rules: Mapping[str, str]) -> list[str]:
    if not rules:
        return ["no rule was tested"]
    faults = []
    for outcome, what in (("failed", "broken"), ("not-run", "not tested")):
        if found := [rule for rule, got in rules.items() if got == outcome]:
            faults.append(f"{len(found)} rules {what}: {', '.join(found)}")
    if odd := [rule for rule, got in rules.items() if got not in OUTCOMES]:
        faults.append(f"{len(odd)} rules with an unknown outcome: {', '.join(odd)}")
    return faults


def replay_faults(document: Json) -> list[str]:
    """Return why a replay is no proof that those that were run are identical."""
    replay = document["replay"]
    faults = [f"is partial: {replay['partial']}"] if replay["partial"] else []
    faults += replay["problems"]
    if found := len(replay["differences"]):
        faults.append(f"{found} requests were not answered alike")
    if not requests_of(replay):
        faults.append("nothing was sent")
    if len(replay["implementations"]) < LEAST_COMPARED:
        faults.append(f"{len(replay['implementations'])} implementations are too few to compare")
    agreed = {name for group in replay["groups"] for name in group}
    if silent := [name for name in replay["implementations"] if name not in agreed]:
        faults.append(f"without answers: {', '.join(silent)}")
    if len(replay["groups"]) > 1:
        groups = " | ".join(", ".join(group) for group in replay["groups"])
        faults.append(f"only these agree in everything: {groups}")
    faults += _left_out(document, replay)
    if replay["verdict"] != "identical" and not faults:
        faults.append(f"says {replay['verdict']}")
    return faults


def _left_out(document: Json, part: Json) -> list[str]:
    """Return that a part has not all the implementations that were run."""
    ours = {run["implementation"] for run in document["runs"] if run["base_url"] is None}
    left_out = sorted(ours - set(part["implementations"]))
    return [f"left out {', '.join(left_out)}"] if left_out else []


def relay_faults(document: Json) -> list[str]:
    """Return why a relay is no proof that the implementations are interchangeable."""
    relay = document["relay"]
    faults = [relay["problem"].splitlines()[0]] if relay["problem"] else []
    if not relay["requests"]:
        faults.append("nothing was sent")
    if len(relay["implementations"]) < LEAST_COMPARED:
        faults.append(f"{len(relay['implementations'])} implementations are too few")
    faults += _left_out(document, relay)
    if relay["verdict"] != "interchangeable" and not faults:
        faults.append(f"says {relay['verdict']}")
    return faults


def matrix_faults(document: Json) -> list[str]:
    """Return why the negative controls are no proof that the suite catches what it must."""
    matrix = document["faults"]
    faults = [f"is partial: {matrix['partial']}"] if matrix["partial"] else []
    if not matrix["faults"]:
        faults.append("no fault was tried")
    lost = [each for each in matrix["faults"] if each["outcome"] not in {"caught", "untried"}]
    untried = sum(each["outcome"] == "untried" for each in matrix["faults"])
    if untried and not matrix["partial"]:
        faults.append(f"{untried} not tried at their own rules")
    if lost:
        told = ", ".join(f"{each['id']} ({each['outcome']})" for each in lost)
        faults.append(f"{len(lost)} not caught: {told}")
    if failing := matrix["control"]["failing"]:
        faults.append(f"tests that fail without a fault, too: {', '.join(failing)}")
    return faults


def stability_faults(document: Json) -> list[str]:
    """Return why repeated runs are no proof that a verdict is always the same."""
    stability = document["stability"]
    faults = [] if stability["implementations"] else ["nothing was run"]
    for name, found in stability["implementations"].items():
        if found["differing"]:
            faults.append(f"{name}: {len(found['differing'])} tests not always the same")
        if red := sum(bool(verdict) for verdict in found["verdicts"]):
            faults.append(f"{name}: {red} of {len(found['verdicts'])} runs were red")
        if len(found["verdicts"]) != stability["runs"] or not found["tests"]:
            faults.append(f"{name}: {len(found['verdicts'])} of {stability['runs']} runs")
    if stability["verdict"] != "stable" and not faults:
        faults.append(f"says {stability['verdict']}")
    return faults


JUDGES = {
    "replay": replay_faults,
    "relay": relay_faults,
    "faults": matrix_faults,
    "stability": stability_faults,
}


# -- in words


def closing(part: Json) -> tuple[bool, str]:
    """Return whether nothing but its being partial speaks against one document, and its last line.

    For what a session of its own says at its end; the summary's verdict is of all together.
    """
    kind, partial = part["kind"], part.get("partial", "")
    words = WORDS[kind](part)
    reasons = JUDGES[kind]({"runs": [], kind: part})
    if red := [reason for reason in reasons if reason != f"is partial: {partial}"]:
        return False, f"RED: {words}: {'; '.join(red)}"
    return True, f"PARTIAL: {words}: {partial}" if partial else f"GREEN: {words}"


def verdict_of(document: Json) -> dict[str, Json]:
    """Return the verdict on a summary, as the summary holds it."""
    reasons = judge(document)
    return {"green": not reasons, "reasons": reasons, "lines": lines_of(document, reasons)}


def lines_of(document: Json, reasons: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line for each part that is not a run, and the closing line."""
    told = {kind: WORDS[kind](document[kind]) for kind in JUDGES if document[kind]}
    lines = [f"{kind}: {words}" for kind, words in told.items()]
    if reasons:
        red = [f"{name}: no result" if name in document["missing"] else name for name in reasons]
        return [*lines, f"RED: {', '.join(red)}"]
    runs = document["runs"]
    if runs:
        passed = sum(test["outcome"] == "passed" for run in runs for test in run["tests"])
        names = ", ".join(run["label"] for run in runs)
        proven = f"{names} conform to all {len(document['rules'])} rules ({passed} tests passed)"
    return [*lines, f"GREEN: {'; '.join([*([proven] if runs else []), *told.values()])}"]


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


def faults_in_words(matrix: Json) -> str:
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
    "faults": faults_in_words,
    "stability": stability_in_words,
}
