"""Items: open to every signed-in user, written by their owners."""
