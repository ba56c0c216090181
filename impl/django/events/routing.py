"""The websockets' paths."""

from django.urls import path, re_path

from events.consumers import EchoConsumer, EventsConsumer, UnknownPathConsumer

websocket_urlpatterns = [
    path("ws/echo", EchoConsumer.as_asgi(), name="echo"),
    path("ws/events", EventsConsumer.as_asgi(), name="watch_events"),
    # Contract: URLRouter would raise ValueError for a path that it does not know.
    re_path("", UnknownPathConsumer.as_asgi()),
]
