"""Layer 4: what was sent once is sent to all, and every answer is compared."""
