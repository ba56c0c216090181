"""Every path of the service."""

from django.contrib import admin
from django.urls import include, path, register_converter
from rest_framework.routers import SimpleRouter

from app.converters import IdConverter
from app.health import Liveness, Readiness
from events.views import UpgradeRequired
from items.views import ItemViewSet
from users.views import CreateToken, UserViewSet

register_converter(IdConverter, "id")

admin.site.site_header = "Rosetta"
admin.site.site_url = None  # the service has no pages of its own

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("users", UserViewSet)
router.register("items", ItemViewSet)

urlpatterns = [
    path("", include(router.urls)),
    path("tokens", CreateToken.as_view(), name="create_token"),
    path("healthz", Liveness.as_view(), name="liveness"),
    path("readyz", Readiness.as_view(), name="readiness"),
    path("ws/echo", UpgradeRequired.as_view(), name="echo"),
    path("ws/events", UpgradeRequired.as_view(), name="watch_events"),
    path("admin/", admin.site.urls),
]

# Contract: Django would answer with pages of HTML.
handler400 = "app.handlers.bad_request"
handler403 = "app.handlers.forbidden"
handler404 = "app.handlers.page_not_found"
handler500 = "app.handlers.server_error"
