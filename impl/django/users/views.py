"""Users: sign-up, log-in, and what one may do with one's own account."""

from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth import authenticate
from django.db import IntegrityError, OperationalError
from psycopg.errors import DeadlockDetected
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from app.exceptions import Problem, invalid_credentials
from app.permissions import IsSelf
from app.tokens import issue_token
from app.views import OpenView, ResourceViewSet, lock_user
from events.outbox import writing
from users.models import User
from users.serializers import TokenSerializer, UserSerializer


class UserViewSet(ResourceViewSet):
    """/users, /users/me and /users/{id}."""

    queryset = User.objects.all()
    serializer_class = UserSerializer
    permission_classes = (IsSelf,)

    def get_authenticators(self) -> Sequence[BaseAuthentication]:
        """Return whom to ask who it is; nobody at sign-up, which ignores tokens."""
        return () if self._is_sign_up else super().get_authenticators()

    def get_permissions(self) -> Sequence[BasePermission]:
        """Return whom to ask what one may do."""
        return (AllowAny(),) if self._is_sign_up else super().get_permissions()

    @action(detail=False, url_path="me")
    def get_current_user(self, request: Request) -> Response:
        """Return the caller."""
        return self.answer(request.user)

    def perform_create(self, serializer: Serializer) -> None:
        """Write the new user."""
        with writing():  # an event that cannot be written is no taken address
            _save(serializer)

    def perform_update(self, serializer: Serializer) -> None:
        """Write the changed user."""
        _save(serializer)

    def lock_resource(self) -> User:
        """Select the caller, whose own account it is, again."""
        return lock_user(self.request.user, to_write=True)

    @property
    def _is_sign_up(self) -> bool:
        return self.action_map.get(self.request.method.lower()) == "create"


class CreateToken(OpenView):
    """POST /tokens."""

    def post(self, request: Request) -> Response:
        """Log in."""
        serializer = TokenSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        # For an address that nobody has, Django hashes too, so that it takes as long.
        user = authenticate(
            request,
            username=serializer.validated_data["email"],
            password=serializer.validated_data["password"],
        )
        if user is None:
            raise invalid_credentials()
        ttl = settings.ENVIRONMENT.token_ttl_seconds
        token = {
            "access_token": issue_token(user.pk, settings.SECRET_KEY, ttl),
            "token_type": "bearer",
            "expires_in": ttl,
            "user_id": user.pk,
        }
        return Response(token, 201, headers={"Cache-Control": "no-store"})


def _save(serializer: Serializer) -> None:
    """Write the user's row, which fails when the e-mail address is another's."""
    try:
        serializer.save()
    except IntegrityError:
        raise Problem("email-taken") from None
    except OperationalError as error:
        if isinstance(error.__cause__, DeadlockDetected):  # two users after each other's address
            raise Problem("email-taken") from None
        raise
