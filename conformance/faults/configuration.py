"""Faults of the group Configuration and running."""

from __future__ import annotations

from rosetta.controls.fault import fault

CONFIG, GUNICORN, LOGS = "app/config.py", "gunicorn.conf.py", "app/logs.py"
TTL = "    token_ttl_seconds: PositiveInt = 3600\n"

FAULTS = (
    fault(
        "bad-number-is-guessed",
        "configuration",
        "A TOKEN_TTL_SECONDS that is no number is read as the default.",
        (
            CONFIG,
            TTL,
            "    token_ttl_seconds: Annotated[\n        PositiveInt,\n"
            '        __import__("pydantic").BeforeValidator(lambda v: v if str(v).isdigit() else 3600),\n'
            "    ] = 3600\n",
        ),
    ),
    fault(
        "half-an-hour",
        "configuration",
        "By default a token lives for half an hour.",
        (CONFIG, TTL, TTL.replace("3600", "1800")),
    ),
    fault(
        "database-needed-to-start",
        "configuration",
        "The server does not start while its database is away.",
        (
            "app/database.py",
            "    db.init_app(app)\n",
            "    db.init_app(app)\n    with app.app_context():\n        db.engine.connect().close()\n",
        ),
    ),
    fault(
        "refusal-names-no-variable",
        "configuration",
        "A refused start does not name the variable.",
        (
            GUNICORN,
            'print(*(str(name).upper() for name in fault["loc"]), fault["msg"]',
            'print(fault["type"]',
        ),
    ),
    fault(
        "key-of-31-bytes",
        "secret-key",
        "A key of 31 bytes will do.",
        (CONFIG, "MIN_KEY_BYTES = 32", "MIN_KEY_BYTES = 31"),
    ),
    fault(
        "development-key-in-production",
        "secret-key",
        "Production starts with the default key.",
        (CONFIG, 'if self.app_env == "production" and', 'if self.app_env == "staging" and'),
    ),
    fault(
        "key-in-characters",
        "secret-key",
        "The length of the key counts characters.",
        (CONFIG, "len(key.get_secret_value().encode())", "len(key.get_secret_value())"),
    ),
    fault(
        "two-workers-without-redis",
        "workers",
        "Two workers start without Redis; three do not.",
        (CONFIG, "if self.workers > 1 and", "if self.workers > 2 and"),
    ),
    fault(
        "no-worker-is-woken",
        "workers",
        "Wake-ups go to a channel that nobody hears.",
        ("app/feed.py", '.publish(CHANNEL, b"")', '.publish(f"{CHANNEL}:", b"")'),
        database="postgresql",
        workers=2,
    ),
    fault(
        "stop-cuts-requests",
        "shutdown",
        "A stop does not wait for the requests in flight.",
        (GUNICORN, "graceful_timeout = 2 ", "graceful_timeout = 0 "),
    ),
    fault(
        "stop-leaves-sockets",
        "shutdown",
        "SIGTERM does not close the open sockets.",
        (
            GUNICORN,
            "        self._stop_sockets()\n        super().handle_exit(sig, frame)\n",
            "        super().handle_exit(sig, frame)\n",
        ),
    ),
    fault(
        "stop-waits-eight-seconds",
        "shutdown",
        "A stop waits eight seconds for what hangs.",
        (GUNICORN, "graceful_timeout = 2 ", "graceful_timeout = 8 "),
    ),
    fault(
        "stop-waits-for-silence",
        "shutdown",
        "A stop waits until no client has asked for half a second.",
        (
            GUNICORN,
            "        super().handle_exit(sig, frame)\n",
            "        threading.Thread(target=self._exit_when_silent, args=(sig, frame)).start()\n\n"
            "    def _exit_when_silent(self, sig: int, frame: FrameType | None) -> None:\n"
            '        time = __import__("time")\n'
            "        count = -1\n"
            "        while count != self.asked:\n"
            "            count = self.asked\n"
            "            time.sleep(0.5)\n"
            "        super().handle_exit(sig, frame)\n\n"
            "    asked = 0\n\n"
            "    def finish_request(self, conn, fs):\n"
            "        self.asked += 1\n"
            "        super().finish_request(conn, fs)\n",
        ),
        (GUNICORN, "graceful_timeout = 2 ", "graceful_timeout = 8 "),
    ),
    fault(
        "early-stop-is-lost",
        "shutdown",
        "A SIGTERM in the first two seconds is lost.",
        (
            GUNICORN,
            "control_socket_disable = True\n",
            "control_socket_disable = True\n\n\n"
            "def when_ready(arbiter):\n"
            '    signal, born = __import__("signal"), (now := __import__("time").monotonic)()\n'
            "    stop = signal.getsignal(signal.SIGTERM)\n"
            "    late = lambda *args: now() - born > 2 and stop(*args)\n"
            "    signal.signal(signal.SIGTERM, late)\n\n\n",
        ),
    ),
    fault(
        "logged-id-is-the-clients",
        "access-log",
        "The log has the id that was sent, whatever the answer says.",
        (
            LOGS,
            "record.request_id = g.request_id",
            'record.request_id = request.headers.get("X-Request-ID")',
        ),
    ),
    fault(
        "head-leaves-no-line",
        "access-log",
        "HEAD leaves no line in the log.",
        (
            LOGS,
            '    access.info("request", extra=fields)\n',
            '    if request.method != "HEAD":\n        access.info("request", extra=fields)\n',
        ),
    ),
    fault(
        "queries-are-logged",
        "access-log",
        "The log has the query, and with it a token that a client sent there.",
        (
            LOGS,
            '"path": request.path',
            '"path": request.full_path if request.query_string else request.path',
        ),
    ),
)
