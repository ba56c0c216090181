"""Run a verb: python -m rosetta VERB."""

import sys

from rosetta.cli import main

sys.exit(main())
