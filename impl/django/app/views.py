"""DRF's views in the order of the contract's checks."""

from contextlib import ExitStack
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request as DRFRequest
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from app.conditional import check_preconditions, is_not_modified
from app.exceptions import invalid, invalid_token
from app.fields import PageQuery
from app.models import Resource
from app.parsers import Request
from app.preconditions import etag
from events.outbox import writing
from users.models import User


class PlainView(APIView):
    """A view whose OPTIONS tells the methods, and whose body is checked also when it is empty."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """Answer; `reading` ends the reading transaction that authentication begins."""
        with ExitStack() as self.reading:
            return super().dispatch(request, *args, **kwargs)

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Return DRF's request."""
        given = super().initialize_request(request, *args, **kwargs)
        made = Request(
            request, given.parsers, given.authenticators, given.negotiator, given.parser_context
        )
        made.reading = self.reading
        return made

    def options(self, request: DRFRequest, *args: Any, **kwargs: Any) -> Response:
        """Answer with Allow, which DRF gives every response."""
        return Response(status=204)


class OpenView(PlainView):
    """A view that ignores tokens."""

    authentication_classes = ()
    permission_classes = ()


class ResourceViewSet(ListModelMixin, PlainView, GenericViewSet):
    """Users or items: read in one transaction, written in another."""

    lookup_value_converter = "id"
    query_class: type[Serializer] = PageQuery
    resource: Resource  # of the path, as the reading transaction saw it

    def initial(self, request: DRFRequest, *args: Any, **kwargs: Any) -> None:
        """Refuse for method, token, resource or owner, before the body is looked at."""
        # Contract: DRF would ask for a token before it looks at the method.
        if request.method not in self.allowed_methods:
            raise MethodNotAllowed(request.method)
        if request.method == "OPTIONS":
            return
        super().initial(request, *args, **kwargs)
        if self.detail:
            self.resource = self.get_object()
        if request.method not in {"GET", "HEAD"}:
            self.reading.close()  # no transaction stays open while a body is read or hashed

    @cached_property
    def query(self) -> dict[str, Any]:
        """Return the query's parameters; of one given twice the last wins."""
        query = self.query_class(data=self.request.query_params.dict())
        if not query.is_valid():
            raise invalid(query.errors, "query")
        return dict(query.validated_data)

    def create(self, request: DRFRequest) -> Response:
        """Create a resource."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        self.perform_create(serializer)
        resource = serializer.instance
        location = f"{request.path}/{resource.pk}"
        headers = {"Location": location, "ETag": etag(resource.version)}
        return Response(serializer.data, 201, headers=headers)

    def retrieve(self, request: DRFRequest, **_: Any) -> Response:
        """Return a resource, or 304 when the client has it already."""
        return self.answer(self.resource)

    def update(self, request: DRFRequest, *, partial: bool = False, **_: Any) -> Response:
        """Replace a resource's state."""
        serializer = self.get_serializer(self.resource, data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        with writing():
            serializer.instance = self.lock_resource()
            check_preconditions(request, serializer.instance.version)
            self.perform_update(serializer)
        return self.answer(serializer.instance)

    def partial_update(self, request: DRFRequest, **kwargs: Any) -> Response:
        """Change some of a resource's members."""
        return self.update(request, partial=True, **kwargs)

    def destroy(self, request: DRFRequest, **_: Any) -> Response:
        """Delete a resource."""
        with writing():
            resource = self.lock_resource()
            check_preconditions(request, resource.version)
            resource.delete()
        return Response(status=204)

    def perform_create(self, serializer: Serializer) -> None:
        """Write the new resource."""
        serializer.save()

    def perform_update(self, serializer: Serializer) -> None:
        """Write the changed resource."""
        serializer.save()

    def lock_resource(self) -> Resource:
        """Select the resource of the path again, and hold it until the transaction ends."""
        raise NotImplementedError

    def answer(self, resource: Resource) -> Response:
        """Answer with a resource and its tag."""
        headers = {"ETag": etag(resource.version)}
        if is_not_modified(self.request, resource.version):
            return Response(status=304, headers=headers)
        return Response(self.get_serializer(resource).data, headers=headers)


def lock_user(user: User, *, to_write: bool = False) -> User:
    """Select the caller again in a writing transaction, and hold them until it ends.

    Unless it is `to_write`, others may refer to the row meanwhile.
    """
    rows: QuerySet[User] = User.objects.select_for_update(no_key=not to_write)
    found = rows.filter(pk=user.pk).first()
    if found is None:
        raise invalid_token()
    return found
