"""Users: sign-up, log-in, and one's own account."""
