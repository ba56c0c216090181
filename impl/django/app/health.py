"""Liveness and readiness, for those who restart and those who route."""

from concurrent.futures import ThreadPoolExecutor, TimeoutError as NoAnswer

from django.db import close_old_connections, connection
from rest_framework.request import Request
from rest_framework.response import Response

from app.exceptions import unavailable
from app.views import OpenView

READY_WITHIN_SECONDS = 2.5
_probes = ThreadPoolExecutor(1, thread_name_prefix="readiness")  # a hanging database keeps this one


class Liveness(OpenView):
    """GET /healthz."""

    def get(self, request: Request) -> Response:
        """Say that the process serves requests."""
        return Response({"status": "ok"})


class Readiness(OpenView):
    """GET /readyz."""

    def get(self, request: Request) -> Response:
        """Say whether the database answers."""
        probe = _probes.submit(_select_one)
        try:
            probe.result(READY_WITHIN_SECONDS)
        except NoAnswer:
            probe.cancel()
            raise unavailable() from None
        return Response({"status": "ready"})


def _select_one() -> None:
    close_old_connections()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
