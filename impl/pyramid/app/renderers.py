"""What views return, and how it is written: JSON, and problems (RFC 9457)."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pyramid.config import Configurator
from pyramid.renderers import JSON
from pyramid.request import Request
from pyramid.response import Response

from app.errors import PROBLEM_JSON


def includeme(config: Configurator) -> None:
    """Add the renderers, and the response that they fill."""
    json = JSON()
    json.add_adapter(BaseModel, _dump)
    config.add_renderer("json", json)
    config.add_renderer("problem", render_problems)
    config.set_response_factory(_make_response)


def render_problems(info: Any) -> Callable[[Any, dict[str, Any]], str]:
    """Return a renderer of problem documents: JSON with a media type of its own."""
    render_json = JSON()(info)

    def render(value: Any, system: dict[str, Any]) -> str:
        system["request"].response.content_type = PROBLEM_JSON
        return str(render_json(value, system))

    return render


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
