"""The project: its settings, its URLs and its ASGI application."""
