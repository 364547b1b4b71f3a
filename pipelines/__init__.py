"""WHEN and WITH WHAT. Before a command's imports, which take a second or two, signals are made to end it."""

import sys
from pathlib import Path

from pipelines.interruption import end_at_once

# As a script, or as a module that Python still looks for; the bundled vendors are a module here, too, and no command.
if sys.argv and (Path(sys.argv[0]).name == "tollbook" or "pipelines.cli" in sys.orig_argv):
    end_at_once()
