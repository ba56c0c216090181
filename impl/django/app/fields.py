"""DRF's serializers and fields with JSON Schema's types: no coercion, no trimming, no extras."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.validators import RegexValidator
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import empty
from rest_framework.settings import api_settings

from app.exceptions import invalid

MAX_ID = 999_999_999_999_999_999
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)


class StrictSerializer(serializers.Serializer):
    """A JSON object, closed to unknown members; a partial one has at least one member."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the valid members; raise every fault together."""
        if self.partial and data == {}:
            raise _fault(api_settings.NON_FIELD_ERRORS_KEY, "min_properties")
        errors: dict[str, Any] = {}
        try:
            value: dict[str, Any] = super().to_internal_value(data)
        except ValidationError as error:
            errors = dict(error.detail)
        if isinstance(data, Mapping):
            # Contract: DRF would ignore members that it does not know.
            writable = {name for name, field in self.fields.items() if not field.read_only}
            for name in data.keys() - writable:
                errors |= _fault(name, "unknown").detail
        if errors:
            raise ValidationError(errors)
        return value


class StrictCharField(serializers.CharField):
    """A string, kept as it was sent; `pattern` is to match all of it."""

    def __init__(self, *, pattern: str | None = None, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)
        if pattern is not None:
            self.validators.append(RegexValidator(rf"\A(?:{pattern})\Z", code="pattern"))

    def run_validation(self, data: Any = empty) -> Any:
        """Return the valid string."""
        # Contract: CharField would call "" blank, whatever its least length is.
        return serializers.Field.run_validation(self, data)

    def to_internal_value(self, data: Any) -> str:
        """Return the string."""
        # Contract: CharField would take a number for a string.
        if not isinstance(data, str):
            self.fail("invalid")
        return str(data)


class StrictIntegerField(serializers.IntegerField):
    """An integer, in JSON Schema's sense."""

    def to_internal_value(self, data: Any) -> int:
        """Return the integer; 1.0 is one."""
        # Contract: IntegerField would take "1" and true.
        if isinstance(data, bool) or not isinstance(data, int | float) or data != data // 1:
            self.fail("invalid")
        return int(data)


class StrictChoiceField(serializers.ChoiceField):
    """One of some strings."""

    default_error_messages: ClassVar = {"invalid": "Not a string."}

    def to_internal_value(self, data: Any) -> Any:
        """Return the choice."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class UniqueListField(serializers.ListField):
    """A list without repetitions, of at most `max_items` members."""

    default_error_messages: ClassVar = {"max_items": "Too many.", "unique_items": "Not unique."}

    def __init__(self, *, max_items: int, **options: Any) -> None:
        super().__init__(**options)
        self.max_items = max_items

    def to_internal_value(self, data: Any) -> list[Any]:
        """Return the valid members."""
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        # Contract: ListField would look into a list that is too long.
        if len(data) > self.max_items:
            self.fail("max_items")
        members: list[Any] = super().to_internal_value(data)
        if len(set(members)) < len(members):
            self.fail("unique_items")
        return members


class QueryIntegerField(serializers.IntegerField):
    """An integer of the query."""

    def to_internal_value(self, data: str) -> int:
        """Return the integer."""
        # Contract: IntegerField would take "+1", " 1 " and "1.0".
        if not _INTEGER.fullmatch(data):
            self.fail("invalid")
        return int(data[:20])  # more digits than any bound has: still beyond it


class PageQuery(serializers.Serializer):
    """The window of a list: `limit` resources with ids above `after`."""

    limit = QueryIntegerField(min_value=1, max_value=100, default=20)
    after = QueryIntegerField(min_value=0, max_value=MAX_ID, default=0)


def read_query(schema: type[serializers.Serializer], parameters: QueryDict) -> dict[str, Any]:
    """Return the query's valid parameters; of one given twice the last wins."""
    query = schema(data=parameters.dict())
    if not query.is_valid():
        raise invalid(query.errors, "query")
    return dict(query.validated_data)


def _fault(name: str, code: str) -> ValidationError:
    return ValidationError({name: [ErrorDetail("Invalid.", code)]})
