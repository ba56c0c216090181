"""The feed of this process."""

from django.apps import AppConfig
from django.conf import settings


class EventsConfig(AppConfig):
    """The events app; `feed` follows the events once the server starts it."""

    name = "events"

    def ready(self) -> None:
        """Make the feed."""
        from events.event_log import DatabaseEventLog
        from events.feed import Feed
        from events.sockets import Sockets

        environment = settings.ENVIRONMENT
        self.feed = Feed(
            DatabaseEventLog(),
            queue_events=environment.ws_queue_events,
            redis_url=environment.redis_url,
        )
        self.sockets = Sockets(environment.ws_max_connections)
