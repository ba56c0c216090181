"""How a server is asked, and how a failure shows what was asked."""
