"""The change feed of one worker: new events are read once and told to every open socket.

A `Feed` follows the `events` table. Each socket iterates over a `Subscription`, which yields
the messages to send, in order, and raises FeedClosed when the socket is to be closed.
Wake-ups, from this process or through Redis, are hints: what counts is the table.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from contextlib import suppress
from itertools import islice
from typing import Protocol, Self

from django.db import Error as DatabaseError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.feed_messages import (
    CLOSE_GOING_AWAY,
    CLOSE_TOO_SLOW,
    CLOSE_UNAUTHORIZED,
    Command,
    FeedClosed,
    FeedEvent,
    read_command,
    ready,
)

logger = logging.getLogger(__name__)

CHANNEL = "events"
LOOK_EVERY_SECONDS = 5.0
RECONNECT_SECONDS = 1.0
PUBLISH_SECONDS = 2.0
PAGE_EVENTS = 200
PENDING_COMMANDS = 16


class EventLog(Protocol):
    """Where events are read from."""

    async def newest(self) -> int:
        """Return the id of the newest committed event, 0 before the first."""

    async def page(self, after: int, limit: int) -> list[FeedEvent]:
        """Return the events behind `after`, ascending, at most `limit`."""

    async def user_exists(self, user_id: int) -> bool:
        """Tell whether the user is still there."""


class Feed:
    """One worker's view of the event log.

    `recent` holds the newest events for all sockets together; who is further behind reads
    pages of the log at its own pace. So memory is bounded, however slow a client is.
    """

    def __init__(
        self, log: EventLog, *, queue_events: int = 1000, redis_url: str | None = None
    ) -> None:
        self.log = log
        self.queue_events = queue_events
        self.position: int | None = None  # the newest event read; None while nobody listens
        self._recent: deque[FeedEvent] = deque(maxlen=queue_events)
        self._subscriptions: set[Subscription] = set()
        self._redis_url = redis_url
        self._redis: Redis | None = None
        self._wake, self._publish = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # while the server runs

    async def __aenter__(self) -> Self:
        """Start to follow the log."""
        self._loop = asyncio.get_running_loop()
        self._wake, self._publish = asyncio.Event(), asyncio.Event()
        jobs = [self._follow()]
        if self._redis_url is not None:
            # With a limit, redis-py sends in asyncio.wait_for: Python 3.11 may lose its cancelling.
            self._redis = Redis.from_url(
                self._redis_url,
                socket_timeout=None,
                socket_connect_timeout=2,
                socket_keepalive=True,
            )
            jobs += [self._publish_wake_ups(), self._hear_wake_ups()]
        self._tasks = [asyncio.create_task(job) for job in jobs]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every subscription and stop following."""
        self._loop = None
        self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._redis is not None:
            await self._redis.aclose()

    def close(self) -> None:
        """End every subscription, as the server is going away."""
        for subscription in self._subscriptions:
            subscription.end(CLOSE_GOING_AWAY)

    def notify(self) -> None:
        """Say that events have been committed: here at once, to other workers through Redis.

        Any thread may say so; outside of a server, as in `manage.py shell`, nobody hears it,
        and the workers find the events when they look.
        """
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        self._wake.set()
        self._publish.set()

    async def subscribe(
        self, user_id: int, *, expires_at: float, after: int | None = None
    ) -> "Subscription":
        """Open a subscription behind event `after`, or behind the newest.

        Raises FeedClosed when the user has been deleted meanwhile. The caller ends it with
        `unsubscribe`.
        """
        subscription = Subscription(self, user_id, expires_at)
        self._subscriptions.add(subscription)  # first, so that no deletion is missed
        try:
            newest = await self.log.newest()
            if not await self.log.user_exists(user_id):
                raise FeedClosed(CLOSE_UNAUTHORIZED)
        except BaseException:
            self.unsubscribe(subscription)
            raise
        if self.position is None:
            self.position = newest
        self._wake.set()
        subscription.start(newest if after is None else after, newest)
        return subscription

    def unsubscribe(self, subscription: "Subscription") -> None:
        """Forget a subscription; without any, stop reading."""
        self._subscriptions.discard(subscription)
        if not self._subscriptions:
            self.position = None
            self._recent.clear()

    async def events_behind(self, position: int) -> list[FeedEvent]:
        """Return some of the events behind `position`, none when there is nothing newer."""
        if self.position is None or position >= self.position:
            return []
        if self._recent and position >= self._recent[0].id - 1:
            start = position - self._recent[0].id + 1  # ids have no gaps
            return list(islice(self._recent, start, start + PAGE_EVENTS))
        return await self.log.page(position, PAGE_EVENTS)

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_SECONDS if self._subscriptions else None):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._read_new_events()
            except (DatabaseError, OSError):
                logger.exception("cannot read new events, will look again")

    async def _read_new_events(self) -> None:
        listening = [each for each in self._subscriptions if each.is_behind]
        arrived: Counter[str] = Counter()
        while (position := self.position) is not None:
            page = await self.log.page(position, PAGE_EVENTS)
            if not page or self.position != position:  # or nobody listens there any more
                break
            self._tell(page)
            arrived.update(event.topic for event in page)
        for subscription in listening:
            subscription.count_arrivals(arrived)

    def _tell(self, page: list[FeedEvent]) -> None:
        self._recent.extend(page)
        self.position = page[-1].id
        deleted = {e.deleted_user_id: e.id for e in page if e.deleted_user_id is not None}
        for subscription in self._subscriptions:
            subscription.wake(deleted.get(subscription.user_id))

    async def _publish_wake_ups(self) -> None:
        while self._redis is not None:
            await self._publish.wait()
            self._publish.clear()
            try:
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await self._redis.publish(CHANNEL, b"")
            except (RedisError, OSError) as error:
                logger.warning("cannot wake the other workers: %r", error)

    async def _hear_wake_ups(self) -> None:
        while self._redis is not None:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    async for _ in channel.listen():
                        self._wake.set()
            except (RedisError, OSError) as error:
                logger.warning("cannot hear the other workers: %s", error)
            await asyncio.sleep(RECONNECT_SECONDS)


class Subscription:
    """What one socket is to send, in order: an asynchronous iterator over messages.

    The socket sends each message before it asks for the next.
    """

    def __init__(self, feed: Feed, user_id: int, expires_at: float) -> None:
        self.user_id = user_id
        self.is_behind = False  # has caught up once, and is busy sending now
        self._feed = feed
        self._expires_at = expires_at
        self._topics: frozenset[str] | None = None  # all, those of new resources too
        self._position = 0
        self._greeting: str | None = None
        self._events: deque[FeedEvent] = deque()
        self._commands: asyncio.Queue[Command] = asyncio.Queue(PENDING_COMMANDS)
        self._woken = asyncio.Event()
        self._deleted_at: int | None = None  # the event that deleted the user
        self._end_code: int | None = None
        self._run_until = 0  # where the events end that were there when the sending began
        self._arrivals = self._batches = 0
        self._caught_up = False

    def start(self, after: int, newest: int) -> None:
        """Begin behind event `after`; only what is behind `newest` has to catch up."""
        self._position, self._greeting = after, ready(after)
        self._caught_up = after >= newest

    async def handle(self, text: str) -> None:
        """Take a client's message; waits while earlier ones have not been answered."""
        await self._commands.put(read_command(text))
        self._woken.set()

    def wake(self, deleted_at: int | None = None) -> None:
        """Say that there are new events; `deleted_at` is the one that deleted the user."""
        self._deleted_at = deleted_at or self._deleted_at
        self._woken.set()

    def end(self, code: int) -> None:
        """Close the socket with `code` once the message in hand is sent."""
        self._end_code = self._end_code or code
        self._woken.set()

    def count_arrivals(self, arrived: Counter[str]) -> None:
        """Count what was committed while the socket was busy; end it when that is too much."""
        wanted = (count for topic, count in arrived.items() if self._wants(topic))
        if self.is_behind and (count := sum(wanted)):
            self._arrivals += count
            self._batches += 1  # one transaction's events alone close nobody
            if self._arrivals >= self._feed.queue_events and self._batches > 1:
                self.end(CLOSE_TOO_SLOW)

    def __aiter__(self) -> Self:
        """Iterate over the messages to send."""
        return self

    async def __anext__(self) -> str:
        """Return the next message, waiting for it; raise FeedClosed at the feed's end."""
        while True:
            self._woken.clear()
            self._check_open()
            message = self._greet() or self._answer() or await self._next_event()
            if message is not None:
                self.is_behind = self._caught_up
                return message
            self._caught_up, self.is_behind = True, False
            self._check_open()  # the user's deletion may have been skipped just now
            with suppress(TimeoutError):
                async with asyncio.timeout(self._expires_at - time.time()):
                    await self._woken.wait()

    def _wants(self, topic: str) -> bool:
        return self._topics is None or topic in self._topics

    def _check_open(self) -> None:
        if self._end_code is not None:
            raise FeedClosed(self._end_code)
        is_deleted = self._deleted_at is not None and self._position >= self._deleted_at
        if is_deleted or self._expires_at <= time.time():
            raise FeedClosed(CLOSE_UNAUTHORIZED)

    def _greet(self) -> str | None:
        greeting, self._greeting = self._greeting, None
        return greeting

    def _answer(self) -> str | None:
        if self._commands.empty():
            return None
        command = self._commands.get_nowait()
        self._topics = command.topics or self._topics
        return command.answer

    async def _next_event(self) -> str | None:
        while self._events or await self._fetch():
            event = self._events.popleft()
            self._position = event.id
            if self._wants(event.topic):
                return event.message
        return None

    async def _fetch(self) -> bool:
        if self._position >= self._run_until:
            self._run_until = self._feed.position or 0
            self._arrivals = self._batches = 0
        self._events.extend(await self._feed.events_behind(self._position))
        return bool(self._events)
