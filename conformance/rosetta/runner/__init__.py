"""How tests are run: the pytest plugin, its processes and its results."""
