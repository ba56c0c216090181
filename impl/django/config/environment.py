"""Settings from the environment that only Django has."""

from typing import Annotated

from pydantic import BeforeValidator, NonNegativeInt
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Names = Annotated[list[str], NoDecode, BeforeValidator(_split)]


class DjangoSettings(BaseSettings):
    """What the environment (or a `.env` file) says; each is named after Django's setting."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    # Contract: with DEBUG, Django would answer 404 and 500 with pages of HTML.
    django_debug: bool = False
    django_allowed_hosts: Names = ["*"]
    django_csrf_trusted_origins: Names = []
    django_secure_ssl_redirect: bool = False
    django_secure_hsts_seconds: NonNegativeInt = 0
    django_secure_hsts_include_subdomains: bool = False
    django_secure_hsts_preload: bool = False
