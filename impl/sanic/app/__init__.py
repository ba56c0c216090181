"""The users and items service on Sanic."""
