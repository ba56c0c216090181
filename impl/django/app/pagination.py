"""Keyset pages: the cost of one does not grow with its depth."""

from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from app.fields import PageQuery, read_query


class KeysetPagination(BasePagination):
    """Ascending by id; `next` and Link (RFC 8288) lead to the next page."""

    # Contract: DRF's CursorPagination would hide the last id in an opaque, absolute link.

    def paginate_queryset(self, queryset: QuerySet[Any], request: Request, view: Any) -> list[Any]:
        """Return the rows of the page that the query asks for."""
        is_ours = hasattr(view, "query")
        query = dict(view.query if is_ours else read_query(PageQuery, request.query_params))
        limit, after = query.pop("limit"), query.pop("after")
        found = list(queryset.filter(pk__gt=after).order_by("pk")[: limit + 1])
        shown = found[:limit]
        self.next = None
        if len(found) > len(shown):
            window = {**query, "limit": limit, "after": shown[-1].pk}
            self.next = f"{request.path}?{urlencode(window)}"
        return shown

    def get_paginated_response(self, data: list[Any]) -> Response:
        """Answer with the page."""
        headers = {} if self.next is None else {"Link": f'<{self.next}>; rel="next"'}
        return Response({"data": data, "next": self.next}, headers=headers)
