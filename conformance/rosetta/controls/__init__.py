"""Layer 5: planted faults, and runs repeated."""
