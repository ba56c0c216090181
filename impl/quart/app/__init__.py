"""The users/items service of Rosetta, in Quart."""

from app import auth, events, health, items, users
from app.asgi import init_asgi
from app.config import Settings
from app.errors import init_errors
from app.events import init_events
from app.logs import init_logs
from app.messages import init_messages
from app.routing import App, init_routing
from app.sessions import db
from app.validation import init_validation


def create_app(settings: Settings | None = None) -> App:
    """Return the app: all wiring in one view."""
    settings = settings or Settings()
    app = App(__name__, static_folder=None)
    app.config.from_mapping({name.upper(): value for name, value in settings})
    app.config["SECRET_KEY"] = settings.secret_key.get_secret_value()

    init_asgi(app)
    init_routing(app)
    init_errors(app)
    init_messages(app)
    init_logs(app, settings.log_level)
    init_validation(app)
    db.init_app(app, settings.database_url)
    init_events(app, settings)

    for resource in (users, auth, items, health, events):
        app.register_blueprint(resource.bp)
    return app
