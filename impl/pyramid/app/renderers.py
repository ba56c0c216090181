"""What views return, and how it is written: JSON, and problems (RFC 9457)."""

from typing import Any

from pydantic import BaseModel
from pyramid.config import Configurator
from pyramid.renderers import JSON
from pyramid.request import Request
from pyramid.response import Response


def includeme(config: Configurator) -> None:
    """Add the renderers, and the response that they fill."""
    json = JSON()
    json.add_adapter(BaseModel, _dump)
    config.add_renderer("json", json)
    config.add_renderer("problem", Problems)
    config.set_response_factory(_make_response)


class Problems(JSON):
    """A renderer of problem documents."""

    def __init__(self, _info: Any) -> None:
        super().__init__()
        self._render = super().__call__(_info)

    def __call__(self, value: Any, system: dict[str, Any]) -> str:
        """Return the problem as JSON, with a media type of its own."""
        system["request"].response.content_type = "application/problem+json"
        return str(self._render(value, system))


class RelativeResponse(Response):
    """A response whose Location stays as it is written."""

    # Contract: WebOb would make Location absolute, with the Host that the client claims.
    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer the request (PEP 3333)."""
        start_response(self.status, self.headerlist)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else self.app_iter


def _make_response(_request: Request) -> Response:
    return RelativeResponse()


def _dump(resource: BaseModel, _request: Request) -> dict[str, Any]:
    return resource.model_dump(mode="json")
