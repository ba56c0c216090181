"""The change feed of one worker: new events are read once and told to every open socket.

A `Feed` follows the `events` table. Each socket iterates over a `Subscription`, which yields
the messages to send, in order, and raises FeedClosed when the socket is to be closed.
Wake-ups, from this process or through Redis, are hints: what counts is the table.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice
from typing import Protocol, Self

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.feed_messages import (
    CLOSE_GOING_AWAY,
    CLOSE_TOO_SLOW,
    CLOSE_UNAUTHORIZED,
    Command,
    FeedClosed,
    FeedEvent,
    feed_event,
    read_command,
    ready,
)
from app.models import Event, EventCounter, User

logger = logging.getLogger(__name__)

CHANNEL = "events"
LOOK_EVERY_SECONDS = 5.0
RECONNECT_SECONDS = 1.0
PAGE_EVENTS = 200
PENDING_COMMANDS = 16


class EventLog(Protocol):
    """Where events are read from."""

    def newest(self) -> int:
        """Return the id of the newest committed event, 0 before the first."""

    def page(self, after: int, limit: int) -> list[FeedEvent]:
        """Return the events behind `after`, ascending, at most `limit`."""

    def user_exists(self, user_id: int) -> bool:
        """Tell whether the user is still there."""


class DatabaseEventLog:
    """The `events` table."""

    def __init__(self, sessions: Callable[[], Session]) -> None:
        self._sessions = sessions

    def newest(self) -> int:
        """Return the id of the newest committed event, 0 before the first."""
        with self._sessions() as session:
            return session.scalars(select(EventCounter.last_id)).one()

    def page(self, after: int, limit: int) -> list[FeedEvent]:
        """Return the events behind `after`, ascending, at most `limit`."""
        query = select(Event).where(Event.id > after).order_by(Event.id).limit(limit)
        with self._sessions() as session:
            return [
                feed_event(row.id, row.event, row.resource_id, row.data, row.occurred_at)
                for row in session.scalars(query)
            ]

    def user_exists(self, user_id: int) -> bool:
        """Tell whether the user is still there."""
        with self._sessions() as session:
            return session.get(User, user_id) is not None


class Feed:
    """One worker's view of the event log.

    `recent` holds the newest events for all sockets together; who is further behind reads
    pages of the log at its own pace. So memory is bounded, however slow a client is.
    """

    def __init__(
        self, log: EventLog, *, queue_events: int = 1000, redis: Redis | None = None
    ) -> None:
        self.log = log
        self.queue_events = queue_events
        self.position: int | None = None  # the newest event read; None while nobody listens
        self._recent: deque[FeedEvent] = deque(maxlen=queue_events)
        self._subscriptions: set[Subscription] = set()
        self._redis = redis
        self._lock = threading.RLock()  # guards the four above
        self._wake, self._publish = threading.Event(), threading.Event()
        self._started = False

    def start(self) -> None:
        """Start to follow the log, once; a worker does so only after it was forked."""
        with self._lock:
            if self._started:
                return
            self._started = True
        jobs: list[Callable[[], None]] = [self._follow]
        if self._redis is not None:
            jobs += [self._publish_wake_ups, self._hear_wake_ups]
        for job in jobs:
            threading.Thread(target=job, name=f"feed{job.__name__}", daemon=True).start()

    def notify(self) -> None:
        """Say that events have been committed: here at once, to other workers through Redis."""
        self.start()
        self._wake.set()
        self._publish.set()

    def subscribe(
        self, user_id: int, *, expires_at: float, after: int | None = None
    ) -> "Subscription":
        """Open a subscription behind event `after`, or behind the newest.

        Raises FeedClosed when the user has been deleted meanwhile. The caller ends it with
        `unsubscribe`.
        """
        self.start()
        subscription = Subscription(self, user_id, expires_at)
        with self._lock:
            self._subscriptions.add(subscription)  # first, so that no deletion is missed
        try:
            newest = self.log.newest()
            if not self.log.user_exists(user_id):
                raise FeedClosed(CLOSE_UNAUTHORIZED)
        except BaseException:
            self.unsubscribe(subscription)
            raise
        with self._lock:
            if self.position is None:
                self.position = newest
        self._wake.set()
        subscription.start(newest if after is None else after, newest)
        return subscription

    def unsubscribe(self, subscription: "Subscription") -> None:
        """Forget a subscription; without any, stop reading."""
        subscription.end(CLOSE_GOING_AWAY)
        with self._lock:
            self._subscriptions.discard(subscription)
            if not self._subscriptions:
                self.position = None
                self._recent.clear()

    def events_behind(self, position: int) -> list[FeedEvent]:
        """Return some of the events behind `position`, none when there is nothing newer."""
        with self._lock:
            if self.position is None or position >= self.position:
                return []
            if self._recent and position >= self._recent[0].id - 1:
                start = position - self._recent[0].id + 1  # ids have no gaps
                return list(islice(self._recent, start, start + PAGE_EVENTS))
        return self.log.page(position, PAGE_EVENTS)

    def _follow(self) -> None:
        while True:
            self._wake.wait(LOOK_EVERY_SECONDS if self._subscriptions else None)
            self._wake.clear()
            try:
                self._read_new_events()
            except (SQLAlchemyError, OSError):
                logger.exception("cannot read new events, will look again")

    def _read_new_events(self) -> None:
        with self._lock:
            listening = [each for each in self._subscriptions if each.is_behind]
        arrived: Counter[str] = Counter()
        while (position := self.position) is not None:
            page = self.log.page(position, PAGE_EVENTS)
            if not page or not self._tell(page, position):
                break
            arrived.update(event.topic for event in page)
        for subscription in listening:
            subscription.count_arrivals(arrived)

    def _tell(self, page: list[FeedEvent], behind: int) -> bool:
        deleted = {e.deleted_user_id: e.id for e in page if e.deleted_user_id is not None}
        with self._lock:
            if self.position != behind:  # nobody listens any more, or again from elsewhere
                return False
            self._recent.extend(page)
            self.position = page[-1].id
            for subscription in self._subscriptions:
                subscription.wake(deleted.get(subscription.user_id))
        return True

    def _publish_wake_ups(self) -> None:
        while self._redis is not None:
            self._publish.wait()
            self._publish.clear()
            try:
                self._redis.publish(CHANNEL, b"")
            except (RedisError, OSError) as error:
                logger.warning("cannot wake the other workers: %s", error)

    def _hear_wake_ups(self) -> None:
        while self._redis is not None:
            try:
                with self._redis.pubsub() as channel:
                    channel.subscribe(CHANNEL)
                    for _ in channel.listen():
                        self._wake.set()
            except (RedisError, OSError) as error:
                logger.warning("cannot hear the other workers: %s", error)
            time.sleep(RECONNECT_SECONDS)


class Subscription:
    """What one socket is to send, in order: an iterator over messages, for one thread.

    The socket sends each message before it asks for the next; another thread may `handle`
    what the client says.
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
        self._commands: deque[Command] = deque()
        self._changed = threading.Condition()
        self._woken = False
        self._deleted_at: int | None = None  # the event that deleted the user
        self._end_code: int | None = None
        self._run_until = 0  # where the events end that were there when the sending began
        self._arrivals = self._batches = 0
        self._caught_up = False

    def start(self, after: int, newest: int) -> None:
        """Begin behind event `after`; only what is behind `newest` has to catch up."""
        self._position, self._greeting = after, ready(after)
        self._caught_up = after >= newest

    def handle(self, text: str) -> None:
        """Take a client's message; waits while earlier ones have not been answered."""
        command = read_command(text)
        with self._changed:
            while len(self._commands) >= PENDING_COMMANDS and self._end_code is None:
                self._changed.wait()
            self._commands.append(command)
            self._wake_up()

    def wake(self, deleted_at: int | None = None) -> None:
        """Say that there are new events; `deleted_at` is the one that deleted the user."""
        with self._changed:
            self._deleted_at = deleted_at or self._deleted_at
            self._wake_up()

    def end(self, code: int) -> None:
        """Close the socket with `code` once the message in hand is sent."""
        with self._changed:
            self._end_code = self._end_code or code
            self._wake_up()

    def count_arrivals(self, arrived: Counter[str]) -> None:
        """Count what was committed while the socket was busy; end it when that is too much."""
        wanted = (count for topic, count in arrived.items() if self._wants(topic))
        if self.is_behind and (count := sum(wanted)):
            self._arrivals += count
            self._batches += 1  # one transaction's events alone close nobody
            if self._arrivals >= self._feed.queue_events and self._batches > 1:
                self.end(CLOSE_TOO_SLOW)

    def __iter__(self) -> Self:
        """Iterate over the messages to send."""
        return self

    def __next__(self) -> str:
        """Return the next message, waiting for it; raise FeedClosed at the feed's end."""
        while True:
            with self._changed:
                self._woken = False
            self._check_open()
            message = self._greet() or self._answer() or self._next_event()
            if message is not None:
                self.is_behind = self._caught_up
                return message
            self._caught_up, self.is_behind = True, False
            self._check_open()  # the user's deletion may have been skipped just now
            self._wait()

    def _wake_up(self) -> None:
        self._woken = True
        self._changed.notify_all()

    def _wait(self) -> None:
        seconds = min(self._expires_at - time.time(), threading.TIMEOUT_MAX)
        with self._changed:
            self._changed.wait_for(lambda: self._woken, max(seconds, 0))

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
        with self._changed:
            if not self._commands:
                return None
            command = self._commands.popleft()
            self._changed.notify_all()
        self._topics = command.topics or self._topics
        return command.answer

    def _next_event(self) -> str | None:
        while self._events or self._fetch():
            event = self._events.popleft()
            self._position = event.id
            if self._wants(event.topic):
                return event.message
        return None

    def _fetch(self) -> bool:
        if self._position >= self._run_until:
            self._run_until = self._feed.position or 0
            self._arrivals = self._batches = 0
        self._events.extend(self._feed.events_behind(self._position))
        return bool(self._events)
