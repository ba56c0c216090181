"""Django's SQLite backend, but for what a migration would lose."""
