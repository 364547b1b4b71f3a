"""WHEN and WITH WHAT. Before a command's imports, which take a second or two, signals are made to end it."""

import sys
from pathlib import Path

from pipelines.interruption import end_at_once

if sys.argv and Path(sys.argv[0]).name in ("tollbook", "-m"):  # as a script, or as a module that Python still looks for
    end_at_once()
