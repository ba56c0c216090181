"""The documents of a run, and the verdict on them."""
