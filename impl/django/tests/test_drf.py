"""What DRF's documentation and tutorial show works here when it is dropped in."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from django.core.cache import cache
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import include, path
from rest_framework import exceptions, generics, parsers, serializers, throttling, viewsets
from rest_framework.pagination import LimitOffsetPagination, PageNumberPagination
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.test import APIClient
from rest_framework.validators import UniqueValidator
from rest_framework.views import APIView

from app.models import StaleError
from config import urls
from events.models import Event
from items.models import Item, ItemTag
from tests.conftest import Account
from users.models import User

pytestmark = pytest.mark.urls("tests.test_drf")


class PlainView(APIView):
    """A view as the tutorial has it: with a token, since that is the default."""

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.pk})

    def post(self, request: Request) -> Response:
        item = Item(owner=request.user, price_cents=1, **request.data)
        item.save()
        with transaction.atomic():
            item.save()
        return Response({"id": item.pk}, status=201)


class ItemSerializer(serializers.ModelSerializer):
    class Meta:
        model = Item
        fields = ("id", "owner", "name", "price_cents", "status")


class ItemViewSet(viewsets.ModelViewSet):
    queryset = Item.objects.all()
    serializer_class = ItemSerializer


class OwnerSerializer(serializers.ModelSerializer):
    items = ItemSerializer(many=True, read_only=True)

    class Meta:
        model = User
        fields = ("id", "items")


class OwnerView(generics.RetrieveAPIView):
    queryset = User.objects.all()
    serializer_class = OwnerSerializer


class NumberedPages(PageNumberPagination):
    page_size = 2


class NumberedView(generics.ListAPIView):
    queryset = Item.objects.order_by("pk")
    serializer_class = ItemSerializer
    pagination_class: ClassVar = NumberedPages


class OffsetView(NumberedView):
    pagination_class = LimitOffsetPagination


class KeysetView(generics.ListAPIView):
    queryset = Item.objects.all()
    serializer_class = ItemSerializer


class LineSerializer(serializers.Serializer):
    count = serializers.IntegerField(min_value=1)


class OrderSerializer(serializers.Serializer):
    item = serializers.PrimaryKeyRelatedField(queryset=Item.objects.all())
    owner = serializers.SlugRelatedField("email", queryset=User.objects.all())
    name = serializers.CharField(validators=[UniqueValidator(Item.objects.all(), lookup="iexact")])
    day = serializers.DateField()
    lines = LineSerializer(many=True, allow_empty=False)
    address = serializers.DictField(child=serializers.CharField())

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        raise serializers.ValidationError("The shop is closed.", code="closed")


class OrderView(APIView):
    permission_classes = (AllowAny,)

    def post(self, request: Request) -> Response:
        serializer = OrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(status=201)

    def put(self, request: Request) -> Response:
        serializer = OrderSerializer(data=request.data)
        serializer.is_valid()
        return Response(serializer.errors, status=400)


class UploadView(APIView):
    parser_classes = (parsers.MultiPartParser, parsers.FormParser)

    def post(self, request: Request) -> Response:
        return Response({"file": request.data["file"].size, "name": request.data["name"]})


class FileView(APIView):
    parser_classes = (parsers.FileUploadParser,)

    def put(self, request: Request, filename: str) -> Response:
        return Response({"size": request.data["file"].size})


class Rate:
    THROTTLE_RATES: ClassVar = {"anon": "1/minute", "user": "1/minute"}


class AnonymousRate(Rate, throttling.AnonRateThrottle):
    pass


class UserRate(Rate, throttling.UserRateThrottle):
    pass


class OpenThrottledView(APIView):
    permission_classes = (AllowAny,)
    throttle_classes = (AnonymousRate,)

    def get(self, request: Request) -> Response:
        return Response({})


class ThrottledView(PlainView):
    throttle_classes = (UserRate,)


class OutOfStock(exceptions.APIException):
    status_code = 409
    default_detail = "There is none left."
    default_code = "out_of_stock"


class Unlucky(exceptions.APIException):
    status_code = 599


class Gone(exceptions.NotFound):
    status_code = 410


ERRORS: dict[str, Exception] = {
    "conflict": OutOfStock(),
    "failed": exceptions.AuthenticationFailed(),
    "general": exceptions.APIException(),
    "gone": Gone(),
    "not-acceptable": exceptions.NotAcceptable(),
    "parse": exceptions.ParseError(),
    "throttled": exceptions.Throttled(wait=2.5),
    "unlucky": Unlucky(),
    "denied": exceptions.PermissionDenied(),
    "missing": exceptions.NotFound(),
    "method": exceptions.MethodNotAllowed("GET"),
    "media-type": exceptions.UnsupportedMediaType("text/csv"),
    "stale": StaleError(),
    "list": exceptions.ValidationError(["a", "b"]),
    "text": exceptions.ValidationError({"limit": "Too high."}),
}


class RaisingView(APIView):
    permission_classes = (AllowAny,)

    def get(self, request: Request, name: str) -> Response:
        raise ERRORS[name]


def answer(request: HttpRequest, status: int) -> HttpResponse:
    return HttpResponse(status=status, headers={"Retry-After": "30"})


def refuse(request: HttpRequest, name: str) -> HttpResponse:
    if name == "method":
        return HttpResponseNotAllowed(["POST"])
    raise {"denied": PermissionDenied, "bad": BadRequest}[name]


router = DefaultRouter()
router.register("things", ItemViewSet)
urlpatterns = [
    *urls.urlpatterns,
    path("stock/", include(router.urls)),
    path("plain", PlainView.as_view()),
    path("owners/<int:pk>", OwnerView.as_view()),
    path("numbered", NumberedView.as_view()),
    path("offset", OffsetView.as_view()),
    path("keyset", KeysetView.as_view()),
    path("orders", OrderView.as_view()),
    path("upload", UploadView.as_view()),
    path("files/<filename>", FileView.as_view()),
    path("throttled", ThrottledView.as_view()),
    path("open-throttled", OpenThrottledView.as_view()),
    path("errors/<name>", RaisingView.as_view()),
    path("django/<int:status>", answer),
    path("django/<name>", refuse),
]
handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    """Throttles count in the cache."""
    yield
    cache.clear()


def test_a_plain_view_reads_and_saves(client: APIClient, ada: Account) -> None:
    assert client.get("/plain").status_code == 401
    assert client.get("/plain", headers=ada.headers).json() == {"user": ada.user["id"]}
    created = client.post("/plain", {"name": "Lamp"}, headers=ada.headers)
    assert created.status_code == 201
    assert Item.objects.get(pk=created.json()["id"]).version == 2
    names = list(Event.objects.order_by("id").values_list("event", flat=True))
    assert names == ["user.created", "item.created", "item.updated"]


def test_a_model_viewset_with_a_router_works(client: APIClient, ada: Account) -> None:
    body = {"owner": ada.user["id"], "name": "Lamp", "price_cents": 5}
    created = client.post("/stock/things/", body, headers=ada.headers)
    assert created.status_code == 201
    target = f"/stock/things/{created.json()['id']}/"
    assert client.get(target, headers=ada.headers).json() == created.json()
    changed = client.patch(target, {"name": "Chair"}, headers=ada.headers)
    assert (changed.status_code, changed.json()["name"]) == (200, "Chair")
    assert client.get("/stock/things/", headers=ada.headers).json()["data"] == [changed.json()]
    assert client.delete(target, headers=ada.headers).status_code == 204
    assert client.get(target, headers=ada.headers).status_code == 404
    assert Event.objects.latest("id").event == "item.deleted"
    wrong = client.post("/stock/things/", {**body, "owner": 999}, headers=ada.headers)
    assert wrong.json()["errors"] == [{"in": "body", "pointer": "/owner", "code": "does_not_exist"}]


def test_a_nested_serializer_shows_the_items(client: APIClient, ada: Account) -> None:
    item = ada.create_item()
    shown = client.get(f"/owners/{ada.user['id']}", headers=ada.headers).json()
    assert [each["id"] for each in shown["items"]] == [item["id"]]


def test_every_pagination_works(client: APIClient, ada: Account) -> None:
    ids = [ada.create_item()["id"] for _ in range(3)]
    numbered = client.get("/numbered?page=2", headers=ada.headers).json()
    assert [item["id"] for item in numbered["results"]] == ids[2:]
    assert client.get("/numbered?page=9", headers=ada.headers).status_code == 404
    offset = client.get("/offset?limit=1&offset=1", headers=ada.headers).json()
    assert [item["id"] for item in offset["results"]] == ids[1:2]
    keyset = client.get("/keyset?limit=2", headers=ada.headers)
    assert keyset.json()["next"] == f"/keyset?limit=2&after={ids[1]}"
    wrong = client.get("/keyset?limit=0", headers=ada.headers).json()
    assert wrong["errors"] == [{"in": "query", "pointer": "/limit", "code": "minimum"}]


def test_every_field_names_its_fault(client: APIClient, ada: Account) -> None:
    item = ada.create_item(name="Lamp")
    body = {"item": 999, "owner": "eve@example.org", "name": "lamp", "day": "x"}
    response = client.post("/orders", {**body, "lines": [{"count": 1}, {"count": 0}, 5]})
    assert response.status_code == 422
    faults = {each["pointer"]: each["code"] for each in response.json()["errors"]}
    assert faults == {
        "/address": "required",
        "/day": "type",
        "/item": "does_not_exist",
        "/lines/1/count": "minimum",
        "/lines/2": "type",
        "/name": "unique",
        "/owner": "does_not_exist",
    }
    body = {"item": item["id"], "owner": ada.user["email"], "name": "chair", "day": "2026-12-01"}
    body |= {"lines": [{"count": 1}], "address": {"city": ""}}
    faults = client.post("/orders", body).json()["errors"]
    assert faults == [{"in": "body", "pointer": "/address/city", "code": "minLength"}]
    body |= {"address": {}}
    faults = client.post("/orders", body).json()["errors"]
    assert faults == [{"in": "body", "pointer": "", "code": "closed"}]
    assert client.put("/orders", body).json() == {"non_field_errors": ["The shop is closed."]}
    wrong_type = client.post("/orders", {**body, "item": [], "lines": 5, "address": 5})
    codes = {each["code"] for each in wrong_type.json()["errors"]}
    assert codes == {"type"}
    assert client.post("/orders", [1]).json()["errors"][0]["pointer"] == ""


def test_an_unknown_member_may_have_any_name(client: APIClient, ada: Account) -> None:
    body = {"name": "Lamp", "price_cents": 1, "non_field_errors": 1}
    response = client.post("/items", body, headers=ada.headers)
    fault = {"in": "body", "pointer": "/non_field_errors", "code": "additionalProperties"}
    assert response.json()["errors"] == [fault]


def test_uploads_reach_their_parsers(client: APIClient, ada: Account) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    data = {"file": SimpleUploadedFile("a.txt", b"x" * 100_000), "name": "A"}
    response = client.post("/upload", data, format="multipart", headers=ada.headers)
    assert response.json() == {"file": 100_000, "name": "A"}
    assert client.post("/upload", {"name": "A"}, headers=ada.headers).status_code == 415
    put = client.put("/files/a.txt", b"12345", content_type="text/plain", headers=ada.headers)
    assert put.json() == {"size": 5}


def test_a_large_body_of_a_plain_view_is_413(client: APIClient, ada: Account) -> None:
    response = client.post("/plain", {"name": "x" * 70_000}, headers=ada.headers)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("conflict", 409, "about:blank"),
        ("failed", 401, "about:blank"),
        ("general", 500, "about:blank"),
        ("gone", 410, "about:blank"),
        ("not-acceptable", 406, "about:blank"),
        ("parse", 400, "about:blank"),
        ("throttled", 429, "about:blank"),
        ("unlucky", 599, "about:blank"),
        ("denied", 403, "/problems/forbidden"),
        ("missing", 404, "/problems/not-found"),
        ("method", 405, "/problems/method-not-allowed"),
        ("media-type", 415, "/problems/unsupported-media-type"),
        ("stale", 409, "about:blank"),
        ("list", 422, "/problems/validation"),
        ("text", 422, "/problems/validation"),
    ],
)
def test_every_exception_is_a_problem(client: APIClient, name: str, status: int, kind: str) -> None:
    response = client.get(f"/errors/{name}")
    assert response.status_code == response.json()["status"] == status
    assert response.json()["type"] == kind
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "X-Request-ID" in response.headers
    if name == "throttled":
        assert response.headers["Retry-After"] == "3"
    if name == "failed":
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(
    ("target", "status", "kind"),
    [
        ("/django/410", 410, "about:blank"),
        ("/django/503", 503, "about:blank"),
        ("/django/method", 405, "/problems/method-not-allowed"),
        ("/django/denied", 403, "/problems/forbidden"),
        ("/django/bad", 400, "about:blank"),
    ],
)
def test_what_a_plain_django_view_answers_is_a_problem(
    client: APIClient, target: str, status: int, kind: str
) -> None:
    response = client.get(target)
    assert (response.status_code, response.headers["Content-Type"]) == (
        status,
        "application/problem+json",
    )
    assert json.loads(response.content)["type"] == kind
    if status == 503:
        assert response.headers["Retry-After"] == "30"
    if status == 405:
        assert response.headers["Allow"] == "POST"


def test_each_user_has_a_rate(client: APIClient, ada: Account, bob: Account) -> None:
    statuses = [client.get("/throttled", headers=who.headers).status_code for who in (ada, bob)]
    assert statuses == [200, 200]
    limited = client.get("/throttled", headers=ada.headers)
    assert limited.status_code == 429
    assert 0 < int(limited.headers["Retry-After"]) <= 60


def test_a_large_model_stays_queryable(client: APIClient, ada: Account) -> None:
    item = ada.create_item(tags=["a", "b"])
    assert ItemTag.objects.filter(item__owner__email=ada.user["email"]).count() == 2
    assert User.objects.filter(is_staff=True, is_superuser=False).count() == 0
    Item.objects.filter(pk=item["id"]).delete()
    assert not ItemTag.objects.exists()
