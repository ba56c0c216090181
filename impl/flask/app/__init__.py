"""The users/items service of Rosetta, in Flask."""

from flask_migrate import Migrate

from app import auth, events, health, items, users
from app.config import Settings
from app.database import db, init_database
from app.errors import init_errors
from app.events import init_events
from app.health import init_health
from app.logs import init_logs
from app.messages import init_messages
from app.routing import App, init_routing


def create_app(settings: Settings | None = None) -> App:
    """Return the app: all wiring in one view."""
    settings = settings or Settings()
    app = App(__name__, static_folder=None)
    app.config.from_mapping({name.upper(): value for name, value in settings})
    app.config["SECRET_KEY"] = settings.secret_key.get_secret_value()

    init_routing(app)
    init_errors(app)
    init_messages(app)
    init_logs(app, settings.log_level)
    init_database(app, settings.database_url)
    init_events(app, settings)
    init_health(app)
    Migrate(app, db, transactional_ddl=True)

    for resource in (users, auth, items, health, events):
        app.register_blueprint(resource.bp)
    return app
