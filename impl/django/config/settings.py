"""Django's settings, from the environment; a value that cannot be read refuses the start."""

from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from pydantic import ValidationError

from app.config import Settings
from app.logs import logging_config
from config.environment import DjangoSettings

BASE_DIR = Path(__file__).resolve().parent.parent

try:
    ENVIRONMENT, DJANGO = Settings(), DjangoSettings()
except ValidationError as error:
    faults = (f"{'_'.join(map(str, e['loc'])).upper()} {e['msg']}" for e in error.errors())
    raise ImproperlyConfigured("; ".join(faults)) from None

SECRET_KEY = ENVIRONMENT.secret_key.get_secret_value()
DEBUG = DJANGO.django_debug
ALLOWED_HOSTS = DJANGO.django_allowed_hosts

LOCAL_APPS = ["app", "users", "items", "events"]
INSTALLED_APPS = [
    *LOCAL_APPS,
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "channels",
]

# CommonMiddleware checks the Host. Without a list of hosts it would only refuse what is no domain
# name, such as one with an underscore, as names in Compose networks have it.
HOST_MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
MIDDLEWARE = [
    "app.middleware.ExchangeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    *([] if ALLOWED_HOSTS == ["*"] else HOST_MIDDLEWARE),
    "app.middleware.AdminSessionMiddleware",
    "app.middleware.CsrfMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
# Contract: Django would redirect /healthz/ to /healthz and the reverse.
APPEND_SLASH = False
# Contract: Django would answer 400 to a query of over 1,000 parameters.
DATA_UPLOAD_MAX_NUMBER_FIELDS = None

SQLITE = "app.sqlite"
DATABASE_OPTIONS: dict[str, dict[str, Any]] = {
    SQLITE: {
        # A reader that turns writer fails with "database is locked" whatever the timeout.
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    },
    # A host that is gone without a word is not waited for as long as the kernel would.
    "django.db.backends.postgresql": {"connect_timeout": 2, "tcp_user_timeout": 5000},
}
dj_database_url.register("sqlite", SQLITE)
# Each thread keeps its connection: at most as many are open as there are threads.
DATABASE: dict[str, Any] = {
    **dj_database_url.parse(ENVIRONMENT.database_url, conn_max_age=None, conn_health_checks=True)
}
DATABASE["OPTIONS"] = {**DATABASE_OPTIONS[DATABASE["ENGINE"]], **DATABASE.get("OPTIONS", {})}
DATABASES = {"default": DATABASE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "users.User"
PASSWORD_HASHERS = ["users.hashers.Argon2idPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [{"NAME": "users.validators.PasswordLengthValidator"}]  # the admin's
IS_PRODUCTION = ENVIRONMENT.app_env == "production"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_PRODUCTION
CSRF_TRUSTED_ORIGINS = DJANGO.django_csrf_trusted_origins
SECURE_SSL_REDIRECT = DJANGO.django_secure_ssl_redirect
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$"]  # probes do not come through the proxy
SECURE_HSTS_SECONDS = DJANGO.django_secure_hsts_seconds
SECURE_HSTS_INCLUDE_SUBDOMAINS = DJANGO.django_secure_hsts_include_subdomains
SECURE_HSTS_PRELOAD = DJANGO.django_secure_hsts_preload
SILENCED_SYSTEM_CHECKS = ["security.W003"]  # CsrfMiddleware is a subclass of the one it looks for

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["app.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "app.negotiation.OneRepresentation",
    "DEFAULT_PARSER_CLASSES": ["app.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "app.pagination.KeysetPagination",
    # Contract: DRF would describe the view in answer to OPTIONS.
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "app.handlers.handle",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    # Contract: DRF would take `?format=` for a wish.
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

USE_TZ = True
TIME_ZONE = "UTC"
LOGGING = logging_config(ENVIRONMENT.log_level, LOCAL_APPS)

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # the admin's style sheets, straight from the packages
