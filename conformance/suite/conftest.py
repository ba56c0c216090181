"""The suite is a set of tests for one plugin."""

pytest_plugins = ["rosetta.runner.plugin", "rosetta.runner.fixtures"]
