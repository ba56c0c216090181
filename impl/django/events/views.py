"""What a plain request to a websocket's path is told."""

from typing import NoReturn

from rest_framework.request import Request

from app.exceptions import upgrade_required
from app.views import OpenView


class UpgradeRequired(OpenView):
    """GET of /ws/echo and /ws/events."""

    def get(self, request: Request) -> NoReturn:
        """Refuse a request that asks for no upgrade."""
        raise upgrade_required()
