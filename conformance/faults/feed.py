"""Faults of the group Websockets and the change feed."""

from __future__ import annotations

from rosetta.controls.fault import fault

EVENTS, FEED, MESSAGES = "app/events.py", "app/feed.py", "app/feed_messages.py"
ITEMS, OUTBOX, USERS, WEBSOCKETS = (
    "app/items.py",
    "app/outbox.py",
    "app/users.py",
    "app/websockets.py",
)
ECHOED = "        for message in websocket:\n            websocket.send(message)\n"
START = "subscription.start(newest if after is None else after, newest)"
TOPICS = "        self._topics: frozenset[str] | None = None  # all, those of new resources too\n"

FAULTS = (
    fault(
        "echo-sends-ascii-as-text",
        "echo",
        "A binary message of ASCII comes back as text.",
        (
            EVENTS,
            ECHOED,
            "        for message in websocket:\n"
            "            ascii_only = isinstance(message, bytes) and message and message.isascii()\n"
            "            websocket.send(message.decode() if ascii_only else message)\n",
        ),
    ),
    fault(
        "echo-drops-the-empty",
        "echo",
        "An empty message does not come back.",
        (EVENTS, ECHOED, ECHOED.replace("    websocket.send", "    message and websocket.send")),
    ),
    fault(
        "echo-of-fragments",
        "echo",
        "Each fragment comes back as a message.",
        (
            WEBSOCKETS,
            "        if event.message_finished and self._close_by is None:\n",
            "        if self._close_by is None:\n",
        ),
    ),
    fault(
        "bearer-wherever-offered",
        "ws-handshake",
        "bearer is selected though another protocol was offered first.",
        (
            WEBSOCKETS,
            'request.subprotocols[:1] == ["bearer"]',
            '"bearer" in request.subprotocols',
        ),
    ),
    fault(
        "place-is-freed-late",
        "ws-handshake",
        "The place of a socket is free three seconds after its end.",
        (
            WEBSOCKETS,
            "        finally:\n            self._free_place()\n",
            "        finally:\n            threading.Timer(3.0, self._free_place).start()\n",
        ),
    ),
    fault(
        "place-is-lost-by-a-bad-handshake",
        "ws-handshake",
        "A handshake that is refused behind the cap keeps its place for good.",
        (
            EVENTS,
            "    after = read_query(FeedQuery).after\n",
            '    sockets = current_app.extensions["sockets"]\n'
            "    sockets._take_place()\n"
            "    after = read_query(FeedQuery).after\n"
            "    sockets._free_place()\n",
        ),
    ),
    fault(
        "place-is-lost-amid-commands",
        "ws-handshake",
        "A feed that ends while commands wait to be answered keeps its place for good.",
        (
            EVENTS,
            "    finally:\n"
            "        subscription.end(CLOSE_GOING_AWAY)  # who hears commands may be waiting\n",
            "",
        ),
    ),
    fault(
        "protocol-before-authorization",
        "ws-handshake",
        "A token in the protocols is looked at before Authorization.",
        (EVENTS, 'if not authorization and offered[0] == "bearer":', 'if offered[0] == "bearer":'),
    ),
    fault(
        "426-without-connection",
        "ws-handshake",
        "426 does not list Upgrade in Connection.",
        (
            "app/errors.py",
            '{"Upgrade": "websocket", "Connection": "Upgrade"}',
            '{"Upgrade": "websocket"}',
        ),
    ),
    fault(
        "connection-is-no-list",
        "ws-handshake",
        "Connection must be Upgrade alone.",
        (
            WEBSOCKETS,
            "    return token in (element.strip() for element in elements)\n",
            "    return [token] == [element.strip() for element in elements]\n",
        ),
    ),
    fault(
        "no-event-where-nothing-changed",
        "feed",
        "A PATCH that changes no value of an item leaves no event.",
        (
            ITEMS,
            "    for name, value in changes.items():\n",
            "    same = all(getattr(item, name) == value for name, value in changes.items())\n"
            "    for name, value in changes.items():\n",
        ),
        (
            ITEMS,
            '    commit([Change("item.updated", item_id, data)])\n',
            "    if same:\n        db.session.commit()\n    else:\n"
            '        commit([Change("item.updated", item_id, data)])\n',
        ),
    ),
    fault(
        "user-goes-before-its-items",
        "feed",
        "The deletion of a user is told before that of its items.",
        (
            USERS,
            'commit([*deletions, Change("user.deleted", user_id)])',
            'commit([Change("user.deleted", user_id), *deletions])',
        ),
    ),
    fault(
        "event-after-the-commit",
        "feed",
        "The event is written in a transaction of its own, after the change.",
        (
            OUTBOX,
            "    db.session.flush()\n",
            '    __import__("app.database").database.db.session.commit()\n'
            '    __import__("app.database").database.begin_writing()\n',
        ),
    ),
    fault(
        "last-event-is-repeated",
        "feed",
        "Who comes back is sent the last event seen once more.",
        (
            FEED,
            START,
            f"{START}\n        subscription._position -= after is not None and after > 0",
        ),
    ),
    fault(
        "replay-skips-at-its-pages",
        "feed",
        "A replay leaves out an event behind each full page.",
        (
            FEED,
            "        self._events.extend(self._feed.events_behind(self._position))\n",
            "        page = self._feed.events_behind(self._position)\n"
            '        self._events.extend(page[1:] if getattr(self, "_full", False) else page)\n'
            "        self._full = len(page) == PAGE_EVENTS\n",
        ),
    ),
    fault(
        "refused-sign-up-takes-an-event-id",
        "feed-order",
        "A sign-up with a taken address uses up an event's id.",
        (
            USERS,
            '    except IntegrityError:\n        raise Problem("email-taken") from None\n',
            "    except IntegrityError:\n"
            "        db.session.rollback()\n        begin_writing()\n"
            "        db.session.execute(\n"
            '            __import__("sqlalchemy").text("UPDATE event_counter SET last_id = last_id + 1")\n'
            "        )\n        db.session.commit()\n"
            '        raise Problem("email-taken") from None\n',
        ),
    ),
    fault(
        "owner-gone-is-500",
        "feed-order",
        "A create_item that loses the race with its owner's deletion is 500.",
        (
            ITEMS,
            "    owner, now = lock_caller(), utc_now()\n",
            '    owner, now = db.session.get_one(lock_caller.__globals__["User"], g.user_id), utc_now()\n',
        ),
    ),
    fault(
        "event-id-before-its-commit",
        "feed-order",
        "Event ids are reserved in a transaction of their own: a higher one may be seen first.",
        (
            OUTBOX,
            "    last_id = db.session.execute(\n",
            '    reserving = __import__("sqlalchemy.orm").orm.Session(db.engine)\n'
            "    last_id = reserving.execute(\n",
        ),
        (
            OUTBOX,
            "    ).scalar_one()\n",
            "    ).scalar_one()\n    reserving.commit()\n    reserving.close()\n",
        ),
        database="postgresql",
        workers=2,
    ),
    fault(
        "event-before-the-commit",
        "feed-data",
        "An event is told some milliseconds before it is committed.",
        (
            OUTBOX,
            '    db.session.commit()\n    current_app.extensions["feed"].notify()\n',
            "    from app.feed_messages import feed_event\n\n"
            '    feed = current_app.extensions["feed"]\n'
            '    told = [feed_event(row.pop("id"), **row) for row in rows]\n'
            "    if feed.position == told[0].id - 1:\n"
            "        feed._tell(told, feed.position)\n"
            '        __import__("time").sleep(0.03)\n'
            "    db.session.commit()\n    feed.notify()\n",
        ),
    ),
    fault(
        "replay-of-the-present",
        "feed-data",
        "A replayed event of an item holds the name that it has now.",
        (
            FEED,
            "                feed_event(row.id, row.event, row.resource_id, row.data, row.occurred_at)\n",
            "                feed_event(\n                    row.id,\n                    row.event,\n"
            "                    row.resource_id,\n"
            "                    row.data and {**row.data, **_now(session, row)},\n"
            "                    row.occurred_at,\n                )\n",
        ),
        (
            FEED,
            "class DatabaseEventLog:\n",
            "def _now(session, row):\n"
            "    from app.models import Item\n\n"
            '    item = session.get(Item, row.resource_id) if row.event[0] == "i" else None\n'
            '    return {"name": item.name} if item else {}\n\n\n'
            "class DatabaseEventLog:\n",
        ),
    ),
    fault(
        "ready-is-cut-down",
        "feed-data",
        "An after beyond the newest event is cut down to it.",
        (
            FEED,
            START,
            "subscription.start(newest if after is None else min(after, newest), newest)",
        ),
    ),
    fault(
        "wake-up-is-late",
        "feed-data",
        "An event reaches an idle subscriber after a second and a half.",
        (
            FEED,
            "        self._wake.set()\n        self._publish.set()\n",
            "        threading.Timer(1.5, self._wake.set).start()\n        self._publish.set()\n",
        ),
    ),
    fault(
        "deletion-holds-the-last-state",
        "feed-data",
        "The event of a deleted item holds the item.",
        (
            ITEMS,
            '    db.session.delete(item)\n    commit([Change("item.deleted", item_id)])\n',
            "    data = _dump(item)\n    db.session.delete(item)\n"
            '    commit([Change("item.deleted", item_id, data)])\n',
        ),
    ),
    fault(
        "topics-as-sent",
        "feed-commands",
        "The topics are answered in the order in which they were sent.",
        (MESSAGES, '"topics": sorted(known)', '"topics": known'),
    ),
    fault(
        "subscriptions-add-up",
        "feed-commands",
        "A subscription adds to the one before.",
        (
            FEED,
            "        self._topics = command.topics or self._topics\n",
            "        if command.topics:\n"
            "            self._topics = (self._topics or frozenset()) | command.topics\n"
            "",
        ),
    ),
    fault(
        "ping-with-more",
        "feed-commands",
        "A ping with another member is answered with a pong.",
        (MESSAGES, 'case {"type": "ping", **extra} if not extra:', 'case {"type": "ping"}:'),
    ),
    fault(
        "left-out-is-sent-later",
        "feed-commands",
        "What a subscription left out is sent when its topic is chosen again.",
        (
            FEED,
            "            if self._wants(event.topic):\n                return event.message\n",
            "            if self._wants(event.topic):\n                return event.message\n"
            "            self._left.append(event)\n",
        ),
        (
            FEED,
            "        self._topics = command.topics or self._topics\n",
            "        self._topics = command.topics or self._topics\n"
            "        again = [each for each in self._left if self._wants(each.topic)]\n"
            "        self._left = [each for each in self._left if not self._wants(each.topic)]\n"
            "        self._events.extendleft(reversed(again))\n",
        ),
        (
            FEED,
            TOPICS,
            f"{TOPICS}        self._left: list[FeedEvent] = []\n",
        ),
    ),
    fault(
        "empty-binary-is-ignored",
        "ws-close",
        "An empty binary message does not close the feed.",
        (
            EVENTS,
            "            else:\n                websocket.close(CLOSE_UNSUPPORTED_DATA)\n",
            "            elif message:\n                websocket.close(CLOSE_UNSUPPORTED_DATA)\n",
        ),
    ),
    fault(
        "message-size-in-characters",
        "ws-close",
        "The size of a text message counts characters.",
        (WEBSOCKETS, "len(data.encode() if isinstance(data, str) else data)", "len(data)"),
    ),
    fault(
        "size-of-each-fragment",
        "ws-close",
        "The limit is of each fragment, not of the message.",
        (WEBSOCKETS, "        self._size += len(data", "        self._size = len(data"),
    ),
    fault(
        "expiry-is-late",
        "ws-close",
        "A feed ends three seconds after its token.",
        (
            FEED,
            "        self._expires_at = expires_at\n",
            "        self._expires_at = expires_at + 3\n",
        ),
    ),
    fault(
        "close-amid-a-replay-is-a-drop",
        "ws-close",
        "A Close that comes amid a replay cuts the connection and is not answered.",
        (
            WEBSOCKETS,
            "        except LocalProtocolError:  # behind a Close, which the reader answers or "
            "waits for\n            raise ConnectionClosed from None\n        except OSError:\n",
            "        except (OSError, LocalProtocolError):\n",
        ),
    ),
    fault(
        "no-1001-amid-a-message",
        "ws-close",
        "A client that is being sent a message when the server stops gets no Close.",
        (
            WEBSOCKETS,
            "        if self._stop_code is not None:\n            self.close(self._stop_code)\n\n",
            "\n",
        ),
    ),
    fault(
        "pinged-every-thirty-seconds",
        "ws-close",
        "Idle peers are pinged every 30 seconds.",
        (WEBSOCKETS, "PING_SECONDS = 20.0", "PING_SECONDS = 30.0"),
    ),
    fault(
        "deletion-unseen-where-not-subscribed",
        "ws-close",
        "A deleted user's feed stays open if it does not watch users.",
        (
            FEED,
            "            self._check_open()  # the user's deletion may have been skipped just now\n",
            "",
        ),
    ),
    fault(
        "stopping-is-1000",
        "ws-close",
        "A stopping server closes with 1000.",
        (WEBSOCKETS, "GOING_AWAY = 1001", "GOING_AWAY = 1000"),
    ),
    fault(
        "each-socket-reads-for-itself",
        "feed-cost",
        "Each connection reads the events from the database for itself.",
        (
            FEED,
            "            if self._recent and position >=",
            "            if False and position >=",
        ),
        database="postgresql",
    ),
    fault(
        "looks-every-thirty-seconds",
        "feed-cost",
        "Without a wake-up a worker looks every 30 seconds.",
        (FEED, "LOOK_EVERY_SECONDS = 5.0", "LOOK_EVERY_SECONDS = 30.0"),
    ),
    fault(
        "replay-counts-as-slow",
        "feed-cost",
        "What arrives during a replay closes the client.",
        (
            FEED,
            "                self.is_behind = self._caught_up\n",
            "                self.is_behind = True\n",
        ),
    ),
    fault(
        "one-transaction-counts-as-slow",
        "feed-cost",
        "The events of one transaction alone can close a client.",
        (FEED, "self._feed.queue_events and self._batches > 1:", "self._feed.queue_events:"),
    ),
    fault(
        "slow-clients-stay",
        "feed-cost",
        "A client that is too slow is never closed.",
        (FEED, "                self.end(CLOSE_TOO_SLOW)\n", "                pass\n"),
    ),
    fault(
        "commands-pile-up",
        "feed-cost",
        "What a client says is taken in however many answers it has not read.",
        (FEED, "PENDING_COMMANDS = 16\n", "PENDING_COMMANDS = 16_000_000\n"),
    ),
    fault(
        "wake-up-must-be-empty",
        "feed-cost",
        "A wake-up that holds something is passed over.",
        (
            FEED,
            "                    for _ in channel.listen():\n                        self._wake.set()\n",
            "                    for told in channel.listen():\n"
            '                        if not told["data"]:\n'
            "                            self._wake.set()\n",
        ),
        database="postgresql",
        workers=2,
    ),
)
