"""What nox does besides testing servers."""
