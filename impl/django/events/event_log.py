"""Where the feed reads events: Django's ORM, on Channels' thread for databases."""

from channels.db import database_sync_to_async

from app.feed_messages import FeedEvent, feed_event
from events.models import Event, EventCounter
from users.models import User


class DatabaseEventLog:
    """The `events` table."""

    @database_sync_to_async
    def newest(self) -> int:
        """Return the id of the newest committed event, 0 before the first."""
        return EventCounter.objects.get().last_id

    @database_sync_to_async
    def page(self, after: int, limit: int) -> list[FeedEvent]:
        """Return the events behind `after`, ascending, at most `limit`."""
        return [
            feed_event(row.id, row.event, row.resource_id, row.data, row.occurred_at)
            for row in Event.objects.filter(id__gt=after).order_by("id")[:limit]
        ]

    @database_sync_to_async
    def user_exists(self, user_id: int) -> bool:
        """Tell whether the user is still there."""
        return User.objects.filter(pk=user_id).exists()
