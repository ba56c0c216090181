"""The change feed and the echo: websockets in ordinary views."""

from flask import Blueprint, Flask
from redis import Redis
from sqlalchemy.orm import sessionmaker

from app.config import Settings
from app.database import db
from app.feed import DatabaseEventLog, Feed

bp = Blueprint("events", __name__, url_prefix="/ws")


def init_events(app: Flask, settings: Settings) -> None:
    """Give the app its feed, which starts with its first use."""
    with app.app_context():
        sessions = sessionmaker(db.engine)
    redis = None
    if settings.redis_url is not None:
        # An idle subscription is no dead one: redis-py would give up after 5 s.
        redis = Redis.from_url(
            settings.redis_url, socket_timeout=None, socket_connect_timeout=2, socket_keepalive=True
        )
    app.extensions["feed"] = Feed(
        DatabaseEventLog(sessions), queue_events=settings.ws_queue_events, redis=redis
    )
