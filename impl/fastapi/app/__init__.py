"""The users and items service on FastAPI."""
