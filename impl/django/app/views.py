"""DRF's views in the order of the contract's checks."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils.cache import patch_cache_control
from django.utils.functional import cached_property
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.mixins import ListModelMixin
from rest_framework.parsers import BaseParser
from rest_framework.request import Request as DRFRequest
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from app.authentication import get_user
from app.conditional import check_preconditions, is_not_modified
from app.database import snapshot
from app.exceptions import invalid_token
from app.fields import PageQuery, read_query
from app.models import Resource
from app.parsers import MergePatchParser, Request
from app.preconditions import etag
from events.outbox import writing
from users.models import User


class PlainView(APIView):
    """A view whose OPTIONS tells the methods, and whose body is checked also when it is empty."""

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Return DRF's request."""
        given = super().initialize_request(request, *args, **kwargs)
        return Request(
            request, given.parsers, given.authenticators, given.negotiator, given.parser_context
        )

    def options(self, request: DRFRequest, *args: Any, **kwargs: Any) -> Response:
        """Answer with Allow, which DRF gives every response."""
        return Response(status=204)


class OpenView(PlainView):
    """A view that ignores tokens."""

    authentication_classes = ()
    permission_classes = ()


class ResourceViewSet(ListModelMixin, PlainView, GenericViewSet):
    """Users or items: read as they are at one moment, written in a transaction."""

    lookup_value_converter = "id"
    query_class: type[Serializer] = PageQuery
    resource: Resource  # of the path, as it was before the body was read

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

    def get_parsers(self) -> Sequence[BaseParser]:
        """Return the parsers of bodies; a PATCH may be a merge patch."""
        parsers: Sequence[BaseParser] = super().get_parsers()
        return [*parsers, MergePatchParser()] if self.request.method == "PATCH" else parsers

    def get_object(self) -> Resource:
        """Return the resource of the path; raise 401, 403 or 404."""
        try:
            with snapshot():
                resource: Resource = super().get_object()
        except Http404:
            get_user(self.request.auth)  # 401 if the caller was deleted, and so the resource
            raise
        return resource

    def finalize_response(self, request: DRFRequest, response: Response, *a: Any, **k: Any) -> Any:
        """Complete a response: what was read with a token is no other user's."""
        final = super().finalize_response(request, response, *a, **k)
        if request.method in {"GET", "HEAD"} and final.status_code in {200, 304}:
            patch_cache_control(final, private=True, no_cache=True)
        return final

    @cached_property
    def query(self) -> dict[str, Any]:
        """Return the query's parameters."""
        return read_query(self.query_class, self.request.query_params)

    def list(self, request: DRFRequest, *args: Any, **kwargs: Any) -> Response:
        """Return a page of resources."""
        with snapshot():
            return super().list(request, *args, **kwargs)

    def create(self, request: DRFRequest) -> Response:
        """Create a resource."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        self.perform_create(serializer)
        resource = serializer.instance
        location = f"{request.path}/{resource.pk}"
        headers = {"Location": location, "ETag": etag(resource.pk, resource.version)}
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
            check_preconditions(request, serializer.instance)
            self.perform_update(serializer)
        return self.answer(serializer.instance)

    def partial_update(self, request: DRFRequest, **kwargs: Any) -> Response:
        """Change some of a resource's members."""
        return self.update(request, partial=True, **kwargs)

    def destroy(self, request: DRFRequest, **_: Any) -> Response:
        """Delete a resource."""
        with writing():
            resource = self.lock_resource()
            check_preconditions(request, resource)
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
        headers = {"ETag": etag(resource.pk, resource.version)}
        if is_not_modified(self.request, resource):
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
