"""The users and items service on Falcon."""
