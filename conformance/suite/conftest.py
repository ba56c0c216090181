"""What takes its time begins before the first test, and goes on while other tests run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # pytest must be the first to import the plugin, and layer 2 needs no engine
    from rosetta.client import Api
    from rosetta.plugin import Run, Timed
    from suite.contract.engine import Outcome

    Layer = Callable[[Callable[[Api, int], Any]], Future[Timed[Any]]]

pytest_plugins = ["rosetta.plugin"]

# A fixture that waits, and the one that begins its work.
EARLY = {
    "quiet": "_quiet",
    "stopped": "_stopped",
    "outcome": "_outcome",
    "http_machine": "_http_machine",
    "feed_machine": "_feed_machine",
}


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest, _run: Run) -> None:
    """Begin whatever a test that will be run waits for; a server that is not ours has no rest."""
    session: pytest.Session = request.session
    for item in session.items if _run.fleet else ():
        if not item.get_closest_marker("skip"):
            for name in _waits_for(item):
                request.getfixturevalue(EARLY[name])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put last what waits."""
    items.sort(key=lambda item: bool(_waits_for(item)))


def _waits_for(item: pytest.Item) -> list[str]:
    return [name for name in EARLY if name in getattr(item, "fixturenames", ())]


# -- layers 1 and 3: one after the other, beside layer 2, on a server of their own


@pytest.fixture(scope="session")
def _layer(layers_api: Api, seed: int) -> Iterator[Layer]:
    """Return a function that does a layer's work behind that of those before it."""
    from rosetta.plugin import Timed

    pool = ThreadPoolExecutor(1, thread_name_prefix="layers")
    yield lambda work: pool.submit(Timed.of, lambda: work(layers_api, seed))
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def _outcome(_layer: Layer) -> Future[Timed[Outcome]]:
    from suite.contract.engine import run

    return _layer(run)


@pytest.fixture(scope="session")
def outcome(_run: Run, _outcome: Future[Timed[Outcome]]) -> Outcome:
    """Return what the engine of layer 1 found, in its one run."""
    return _run.result_of(_outcome)


@pytest.fixture(scope="session")
def _http_machine(_layer: Layer) -> Future[Timed[None]]:
    from suite.model import test_http

    return _layer(test_http.run)


@pytest.fixture
def http_machine(_run: Run, _http_machine: Future[Timed[None]]) -> Callable[[], None]:
    """Return a function that waits for the machine's end and raises what it found."""
    return lambda: _run.result_of(_http_machine)


@pytest.fixture(scope="session")
def _feed_machine(_layer: Layer) -> Future[Timed[None]]:
    from suite.model import test_feed

    return _layer(test_feed.run)


@pytest.fixture
def feed_machine(_run: Run, _feed_machine: Future[Timed[None]]) -> Callable[[], None]:
    """Return a function that waits for the machine's end and raises what it found."""
    return lambda: _run.result_of(_feed_machine)
