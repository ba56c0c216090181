"""The conformance suite: harness, clients, pytest plugin and verdict."""
