"""The service's paths, and views as a copier would add them."""

import logging

from django.urls import path
from rest_framework.exceptions import APIException, Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView

from config import urls

logger = logging.getLogger("items.views")


class RaisingView(APIView):
    permission_classes = (AllowAny,)

    def get(self, request: Request, status: int) -> Response:
        if status == 429:
            raise Throttled(wait=30)
        if status == 500:
            logger.warning("about to fail")
            raise RuntimeError("the secret of the house")
        error = APIException()
        error.status_code = status
        if status == 503:
            error.wait = 30  # DRF makes it Retry-After
        raise error


class OncePerMinute(AnonRateThrottle):
    rate = "1/minute"


class LimitedView(APIView):
    permission_classes = (AllowAny,)
    throttle_classes = (OncePerMinute,)

    def get(self, request: Request) -> Response:
        return Response({})


urlpatterns = [
    *urls.urlpatterns,
    path("raise/<int:status>", RaisingView.as_view()),
    path("limited", LimitedView.as_view()),
]
handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500
