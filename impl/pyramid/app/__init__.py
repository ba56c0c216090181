"""The users/items service of Rosetta, in Pyramid."""

from typing import Any

from pyramid.config import Configurator
from pyramid.router import Router

from app.config import Settings


def main(_global_config: Any, *, service: Settings | None = None, **settings: Any) -> Router:
    """Return the app; `settings` are Pyramid's, from the ini, `service` the environment's."""
    with Configurator(settings=settings) as config:
        config.get_settings()["service"] = service or Settings()
        config.include(".renderers")
        config.include(".database")
        config.include(".messages")
        config.include(".logs")
        config.include(".security")
        config.include(".events")
        config.include(".health")
        config.include(".routes")
        config.scan()
        return config.make_wsgi_app()
