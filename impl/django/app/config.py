"""Settings from the environment, under the same names in every implementation."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEVELOPMENT_KEY = "development-only-secret-key-0123456789"
MIN_KEY_BYTES = 32  # RFC 7518 section 3.2: an HS256 key is at least as long as its hash


def _long_enough(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value().encode()) < MIN_KEY_BYTES:
        raise ValueError(f"SECRET_KEY needs at least {MIN_KEY_BYTES} bytes")
    return key


def _readable(url: str) -> str:
    try:
        parts = urlsplit(url)
        unreadable = parts.port == 0 or parts.netloc.count("@") > 1
    except ValueError:
        unreadable = True
    if unreadable:
        raise ValueError("This is no URL; special characters in it must be percent-encoded")
    return url


def _split(value: object) -> object:
    return re.split(r"[ \t]*,[ \t]*", value.strip(" \t")) if isinstance(value, str) else value


def _alone(origins: frozenset[str]) -> frozenset[str]:
    if "*" in origins and len(origins) > 1:
        raise ValueError("* stands for all origins and takes no others beside it")
    return origins


# RFC 6454 section 6.1, as browsers send it: in lower case, without a slash at the end.
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[a-z0-9.\[\]:_-]+)$")]


class Settings(BaseSettings):
    """What the environment (or a `.env` file) says; refuses to exist when that is unsafe."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    app_env: Literal["development", "production"] = "development"
    database_url: Annotated[
        str, Field(pattern="^(sqlite|postgresql)://"), AfterValidator(_readable)
    ] = "sqlite:///app.db"
    redis_url: Annotated[str, Field(pattern="^rediss?://"), AfterValidator(_readable)] | None = None
    secret_key: Annotated[SecretStr, AfterValidator(_long_enough)] = SecretStr(DEVELOPMENT_KEY)
    token_ttl_seconds: PositiveInt = 3600
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    workers: PositiveInt = 1
    ws_max_connections: PositiveInt = 200
    ws_queue_events: PositiveInt = 1000
    cors_origins: Annotated[
        frozenset[Origin], NoDecode, BeforeValidator(_split), AfterValidator(_alone)
    ] = frozenset()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    @model_validator(mode="after")
    def _safe_to_start(self) -> Self:
        if self.app_env == "production" and self.secret_key.get_secret_value() == DEVELOPMENT_KEY:
            raise ValueError("APP_ENV=production needs a SECRET_KEY of its own")
        if self.workers > 1 and self.redis_url is None:
            raise ValueError("WORKERS above 1 needs REDIS_URL, which wakes the other workers")
        return self
