"""The users and items service on Tornado."""
