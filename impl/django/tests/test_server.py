"""The server: what its threads and workers are kept from."""

import asyncio
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from config.asgi import HTTP_THREADS, application

JQUERY = "/static/admin/js/vendor/jquery/jquery.js"


async def read(path: str, may_read: asyncio.Event) -> int:
    """Return the length of a body that is not read until it may."""
    length = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal length
        await may_read.wait()
        length += len(message.get("body", b""))

    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": path}
    await application({**scope, "query_string": b"", "headers": []}, receive, send)
    return length


def test_slow_readers_keep_no_thread() -> None:
    async def read_slowly() -> list[int]:
        slow, at_once = asyncio.Event(), asyncio.Event()
        at_once.set()
        readers = [asyncio.create_task(read(JQUERY, slow)) for _ in range(HTTP_THREADS)]
        await asyncio.sleep(0)  # they are first in the threads' queue
        try:
            assert await asyncio.wait_for(read("/healthz", at_once), 5)
        finally:
            slow.set()
            lengths = await asyncio.gather(*readers)
        return lengths

    lengths = asyncio.run(read_slowly())
    assert len(set(lengths)) == 1
    assert lengths[0] > 200_000


def test_workers_need_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = settings.ENVIRONMENT.model_copy(update={"redis_url": None})
    monkeypatch.setattr(settings, "ENVIRONMENT", alone)
    with mock.patch("uvicorn.run") as run, pytest.raises(CommandError, match=r"WORKERS.*REDIS_URL"):
        call_command("serve", workers=4)
    run.assert_not_called()
    shared = alone.model_copy(update={"redis_url": "redis://localhost"})
    monkeypatch.setattr(settings, "ENVIRONMENT", shared)
    with mock.patch("uvicorn.run") as run:
        call_command("serve", workers=4)
    assert run.call_args.kwargs["workers"] == 4
