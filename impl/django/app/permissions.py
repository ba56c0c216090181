"""Who may write what."""

from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from items.models import Item
from users.models import User


class IsSelf(IsAuthenticated):
    """Every signed-in user reads, and writes their own account."""

    def has_object_permission(self, request: Request, view: APIView, user: User) -> bool:
        """Tell whether the caller may do this to the user."""
        return request.method in SAFE_METHODS or user.pk == request.user.pk


class IsOwner(IsAuthenticated):
    """Every signed-in user reads, and writes their own items."""

    def has_object_permission(self, request: Request, view: APIView, item: Item) -> bool:
        """Tell whether the caller may do this to the item."""
        return request.method in SAFE_METHODS or item.owner_id == request.user.pk
