from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import yaml
from openapi_spec_validator import validate
from schemathesis.core.result import Ok

from rosetta.contract.spec import (
    ANY,
    METHODS,
    SPEC,
    Answer,
    Node,
    Operation,
    Spec,
    load,
    read_yaml,
)

CONTRACT = load()
RULES = CONTRACT.rules
EXCHANGES = CONTRACT.operations | CONTRACT.websockets
FREE_RESPONSES = {"MethodNotAllowed", "Options"}  # of every path, hence of no operation
EVENTS = {
    f"{kind}.{verb}" for kind in ("user", "item") for verb in ("created", "updated", "deleted")
}


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, no reference followed."""
    yield node
    if isinstance(node.content, dict):
        for key in node.content:
            yield from walk(node.child(key))
    elif isinstance(node.content, list):
        for index in range(len(node.content)):
            yield from walk(node.child(index))


def nodes() -> Iterator[Node]:
    yield from walk(CONTRACT.openapi)
    yield from walk(CONTRACT.asyncapi)


def examples(spec: Spec) -> Iterator[tuple[str, Node, Any]]:
    """Yield place, schema and value of every example in either description."""
    for node in nodes():
        content = node.content
        if not isinstance(content, dict) or "properties" in node.path[-1:]:
            continue
        place = f"{node.uri.rpartition('/')[2]}:{'/'.join(node.path)}"
        if "payload" in content:
            for example in content.get("examples", ()):
                yield f"{place}/{example['name']}", node.child("payload"), example["payload"]
        elif "schema" in content:
            if "example" in content:
                yield f"{place}/example", node.child("schema"), content["example"]
            for name, example in spec.children(node, "examples"):
                yield f"{place}/{name}", node.child("schema"), example.content["value"]


EXAMPLES = list(examples(CONTRACT))


@pytest.mark.parametrize(
    ("schema", "value"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_an_example_is_valid(schema: Node, value: object) -> None:
    CONTRACT.validator(schema).validate(value)


# -- openapi.yaml


def test_openapi_is_valid() -> None:
    validate(CONTRACT.openapi.content)


def test_schemathesis_loads_every_operation() -> None:
    schema = schemathesis.openapi.from_path(SPEC / "openapi.yaml")
    results = list(schema.get_all_operations())
    loaded = [r.ok().definition.raw["operationId"] for r in results if isinstance(r, Ok)]
    assert len(loaded) == len(results)
    assert sorted(loaded) == sorted(CONTRACT.operations)


def test_a_client_may_be_answered_any_problem_by_what_stands_before_the_service() -> None:
    whole = read_yaml(SPEC / "openapi.yaml")
    operations = [
        item[method] for item in whole["paths"].values() for method in METHODS if method in item
    ]
    other = {"$ref": "#/components/responses/OtherProblem"}
    assert [op["operationId"] for op in operations if op["responses"].get("default") != other] == []
    problems = [
        response["content"]["application/problem+json"]["schema"]
        for name, response in whole["components"]["responses"].items()
        if "application/problem+json" in response.get("content", {}) and name != "OtherProblem"
    ]
    assert len(problems) > 10
    general = {"$ref": "#/components/schemas/Problem"}
    assert [schema for schema in problems if schema["anyOf"][1:] != [general]] == []


def test_every_operation_says_whether_it_needs_a_token() -> None:
    for path in CONTRACT.openapi.content["paths"].values():
        for method in path.keys() & set(METHODS):
            signed = path[method]["operationId"] in RULES.sets["signed"]
            assert path[method]["security"] == ([{"bearer": []}] if signed else [])


def test_every_body_has_an_example() -> None:
    media = [
        node
        for node in nodes()
        if node.path[-2:-1] == ("content",) and isinstance(node.content, dict)
    ]
    assert len(media) > 20
    assert [node.address for node in media if not node.content.get("examples")] == []


def test_objects_are_closed() -> None:
    objects = [
        node
        for node in nodes()
        if isinstance(node.content, dict)
        and node.content.get("type") == "object"
        and "bindings" not in node.path
    ]
    assert len(objects) > 30
    assert [n.address for n in objects if n.content.get("additionalProperties") is not False] == []


def test_links_lead_to_operations_and_their_parameters() -> None:
    links = dict(CONTRACT.children(CONTRACT.at(CONTRACT.openapi, "components"), "links"))
    for name, link in links.items():
        target = CONTRACT.operations[link.content["operationId"]]
        known = {parameter.content["name"] for parameter in target.parameters}
        assert set(link.content.get("parameters", ())) <= known, name
        assert ("requestBody" not in link.content) or target.media_types, name


@pytest.mark.parametrize(("created", "kind"), [("UserCreated", "user"), ("ItemCreated", "item")])
def test_a_created_resource_links_to_what_can_be_done_with_it(created: str, kind: str) -> None:
    response = CONTRACT.at(CONTRACT.openapi, "components", "responses", created)
    targets = {link.content["operationId"] for _, link in CONTRACT.children(response, "links")}
    assert {f"{verb}_{kind}" for verb in ("get", "replace", "update", "delete")} <= targets


def test_every_component_is_used() -> None:
    targets = {CONTRACT.resolve(node).address for node in nodes() if is_reference(node)}
    components = CONTRACT.openapi.child("components")
    unused = {
        f"{kind}/{name}"
        for kind in components.content
        if kind != "securitySchemes"
        for name in components.content[kind]
        if components.child(kind).child(name).address not in targets
    }
    assert unused == {f"responses/{name}" for name in FREE_RESPONSES}


def is_reference(node: Node) -> bool:
    return isinstance(node.content, dict) and "$ref" in node.content


# -- rules.yaml against both


def asked(operation: Operation) -> dict[int, tuple[set[str], set[str], set[str]]]:
    """Return problems, headers and optional headers that the rules ask of each status."""
    answers = [
        answer
        for rule in RULES.rules.values()
        for answer in rule.answers
        if operation.id in answer.operations
    ]
    statuses = {answer.status for answer in answers} - {ANY}
    return {status: union(answers, status) for status in statuses}


def union(answers: list[Answer], status: int) -> tuple[set[str], set[str], set[str]]:
    here = [a for a in answers if a.status == status or (a.status == ANY and status != 101)]
    return (
        {answer.problem for answer in here if answer.problem},
        {header for answer in here for header in answer.headers},
        {header for answer in here for header in answer.optional_headers},
    )


def documented(operation: Operation) -> dict[int, tuple[set[str], set[str], set[str]]]:
    """Return the same of openapi.yaml or asyncapi.yaml."""
    return {
        status: (
            {response.problem} if response.problem else set(),
            set(response.required),
            set(response.headers - response.required),
        )
        for status, response in operation.responses.items()
    }


@pytest.mark.parametrize("operation", EXCHANGES.values(), ids=EXCHANGES)
def test_an_operation_documents_what_the_rules_ask_and_no_more(operation: Operation) -> None:
    assert documented(operation) == asked(operation)


@pytest.mark.parametrize("name", sorted({*FREE_RESPONSES, "NotFound"}))
def test_a_response_of_every_path_is_what_the_rules_ask(name: str) -> None:
    answers = [a for r in RULES.rules.values() for a in r.answers if a.response == name]
    response = CONTRACT.response(CONTRACT.at(CONTRACT.openapi, "components", "responses", name))
    problems = {answer.problem for answer in answers if answer.problem}
    assert problems == ({response.problem} if response.problem else set())
    if name in FREE_RESPONSES:
        assert {header for answer in answers for header in answer.headers} == response.required
        assert response.headers == response.required


def test_the_table_of_problems_is_that_of_the_schemas() -> None:
    schemas = [
        node.content["properties"]
        for node in nodes()
        if node.path[:2] == ("components", "schemas") and node.path[-1].endswith("Problem")
    ]
    described = {
        (s["type"]["const"].removeprefix("/problems/"), s["status"]["const"], s["title"]["const"])
        for s in schemas
    }
    assert described == {(p.slug, p.status, p.title) for p in RULES.problems.values()}
    assert len(schemas) == len(RULES.problems) == len(RULES.content["problems"])


def test_every_problem_is_somewhere_answered_with_its_status() -> None:
    answered = {
        (answer.problem, answer.status)
        for rule in RULES.rules.values()
        for answer in rule.answers
        if answer.problem
    }
    assert answered == {(problem.slug, problem.status) for problem in RULES.problems.values()}


def derived_sets() -> dict[str, set[str]]:
    """Return each set of rules.yaml as the descriptions have it."""
    http = CONTRACT.operations.values()
    conditions = {o.id: {p.content["name"] for p in o.parameters} for o in http}
    return {
        "http": {o.id for o in http},
        "websockets": set(CONTRACT.websockets),
        "bodies": {o.id for o in http if o.media_types},
        "patches": {o.id for o in http if "application/merge-patch+json" in o.media_types},
        "lists": {o.id for o in http if "limit" in conditions[o.id]},
        "reads": {o.id for o in http if o.method == "GET" and "If-None-Match" in conditions[o.id]},
        "writes": {o.id for o in http if {"If-Match", "If-None-Match"} <= conditions[o.id]},
        "signed": {o.id for o in http if o.signed},
        "database": {o.id for o in http if 503 in o.responses},
    }


def test_the_sets_are_those_of_the_descriptions() -> None:
    assert {name: set(members) for name, members in RULES.sets.items()} == derived_sets()
    assert not set(RULES.sets) & set(EXCHANGES)


def test_every_operation_named_exists_and_each_is_under_a_rule_of_its_own() -> None:
    named = Counter(name for rule in RULES.rules.values() for name in set(rule.operations))
    assert set(named) == set(EXCHANGES)
    everywhere = sum(set(EXCHANGES) <= set(rule.operations) for rule in RULES.rules.values())
    assert min(named.values()) > everywhere


@pytest.mark.parametrize("check", RULES.precedence, ids=lambda check: check.check)
def test_a_check_answers_a_problem_that_its_operations_document(check: Any) -> None:  # noqa: ANN401
    assert RULES.problems[check.slug].status == check.status
    assert set(check.operations) <= set(EXCHANGES)
    if check.check not in {"route", "method"}:
        found = {EXCHANGES[name].responses[check.status].problem for name in check.operations}
        assert found == {check.slug}


def test_every_refusal_has_its_place_in_the_order_of_checks() -> None:
    ordered = {(name, check.status) for check in RULES.precedence for name in check.operations}
    refusals = {
        (operation.id, status)
        for operation in EXCHANGES.values()
        for status in operation.responses
        if 400 <= status < 500
    }
    assert refusals <= ordered
    assert [check.check for check in RULES.precedence if check.free] == ["size"]


def test_every_parameter_is_under_a_rule_and_the_reverse() -> None:
    http = {p.content["name"] for o in CONTRACT.operations.values() for p in o.parameters}
    sockets = {
        name
        for _, channel in CONTRACT.children(CONTRACT.asyncapi, "channels")
        for kind in ("query", "headers")
        for name in channel.content["bindings"]["ws"].get(kind, {}).get("properties", ())
    }
    ruled = {name for rule in RULES.rules.values() for name in rule.parameters}
    paths = {"user_id", "item_id"}
    assert (http - paths) | sockets == ruled


def test_ids_are_unique() -> None:
    in_paths = [n for n in walk(CONTRACT.openapi.child("paths")) if n.path[-1:] == ("operationId",)]
    assert len(in_paths) == len(CONTRACT.operations)
    assert not set(CONTRACT.operations) & set(CONTRACT.websockets)
    assert len(RULES.content["rules"]) == len(RULES.rules)
    assert len(RULES.content["implementation_defined"]) == len(RULES.implementation_defined)
    assert not set(RULES.rules) & set(RULES.implementation_defined)


@pytest.mark.parametrize("name", ["openapi.yaml", "asyncapi.yaml", "rules.yaml"])
def test_no_key_is_given_twice(name: str) -> None:
    pending = [yaml.compose((SPEC / name).read_text(encoding="utf-8"), yaml.SafeLoader)]
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.MappingNode):
            keys = Counter(key.value for key, _ in node.value)
            assert max(keys.values(), default=1) == 1, (node.start_mark, keys)
            pending += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            pending += node.value


def test_every_rule_is_normative_sourced_and_in_a_group() -> None:
    for rule in RULES.rules.values():
        assert re.search(r"\bMUST\b", rule.text), rule.id
        assert rule.sources, rule.id
        assert rule.title, rule.id
        assert rule.group in RULES.groups, rule.id
    assert {rule.group for rule in RULES.rules.values()} == set(RULES.groups)


def test_rules_stand_in_the_order_of_their_groups() -> None:
    order = list(RULES.groups)
    places = [order.index(rule.group) for rule in RULES.rules.values()]
    assert places == sorted(places)


def test_a_rule_mentioned_in_brackets_exists() -> None:
    texts = [n.content for n in nodes() if isinstance(n.content, str)]
    texts += [rule.text for rule in RULES.rules.values()]
    groups = [
        group
        for text in texts
        for group in re.findall(r"\((`[a-z-]+`(?:,\s+`[a-z-]+`)*)[);]", text)
    ]
    mentioned = {name for group in groups for name in re.findall(r"`([a-z-]+)`", group)}
    assert len(mentioned) > 20
    assert mentioned <= set(RULES.rules)


def test_settings_named_in_a_rule_are_listed() -> None:
    texts = " ".join(rule.text for rule in RULES.rules.values())
    named = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", texts))
    assert named
    assert named <= set(RULES.configuration)


def test_the_three_files_have_one_version() -> None:
    descriptions = {d.content["info"]["version"] for d in (CONTRACT.openapi, CONTRACT.asyncapi)}
    assert descriptions == {RULES.version}
    assert re.fullmatch(r"\d+\.\d+\.\d+", RULES.version)


# -- asyncapi.yaml


def messages(channel: str) -> dict[str, Node]:
    return dict(CONTRACT.children(CONTRACT.at(CONTRACT.asyncapi, "channels", channel), "messages"))


def test_every_reference_leads_somewhere() -> None:
    references = [node for node in nodes() if is_reference(node)]
    assert len(references) > 400
    for node in references:
        CONTRACT.resolve(node)


def test_events_are_of_six_kinds_with_the_resources_of_openapi() -> None:
    seen = {}
    for name, message in messages("watch_events").items():
        properties = CONTRACT.at(message, "payload", "properties")
        if "data" in properties.content:
            kind = CONTRACT.at(properties, "event").content["const"]
            assert name == kind.replace(".", "_")
            seen[kind] = CONTRACT.at(properties, "data")
    resources = CONTRACT.at(CONTRACT.openapi, "components", "schemas")
    assert set(seen) == EVENTS
    for kind, data in seen.items():
        resource, verb = kind.split(".")
        if verb == "deleted":
            assert data.content == {"type": "null"}
        else:
            assert data == resources.child(resource.title())


def test_every_message_has_an_example_and_a_direction() -> None:
    sent = Counter(
        CONTRACT.at(CONTRACT.asyncapi, *node.path).address
        for node in walk(CONTRACT.asyncapi.child("operations"))
        if "messages" in node.path[:-1] and is_reference(node)
    )
    for channel in CONTRACT.websockets:
        for name, message in messages(channel).items():
            assert message.content.get("examples"), name
            assert sent[message.address], name


def test_after_is_bounded_alike_on_pages_and_feed() -> None:
    page = CONTRACT.at(CONTRACT.openapi, "components", "parameters", "After", "schema").content
    binding = CONTRACT.at(CONTRACT.asyncapi, "channels", "watch_events", "bindings", "ws")
    feed = CONTRACT.at(binding, "query", "properties", "after").content
    keywords = ("type", "minimum", "maximum")
    assert [feed[keyword] for keyword in keywords] == [page[keyword] for keyword in keywords]
    assert "default" not in feed


def test_close_codes_are_those_of_the_rules() -> None:
    described = {
        name: {int(code) for code, _ in CONTRACT.children(channel, "x-close-codes")}
        for name, channel in CONTRACT.children(CONTRACT.asyncapi, "channels")
    }
    rule = RULES.rules["ws-close"]
    assert described == {name: set(codes) for name, codes in rule.close_codes.items()}
    mentioned = {int(code) for code in re.findall(r"\b(?:10|44)\d\d\b", rule.text)}
    assert mentioned == set().union(*described.values())
