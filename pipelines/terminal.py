"""What is printed: the one console of the commands.

What lives here: a rich console that shows text as text. What does not: what is printed (``status``, ``trace``, …).
"""

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from warehouse.text import shown

WIDTH = 140  # where nobody's screen says how wide it is


class Terminal(Console):
    """A console on which no text is markup, moves the cursor, or reads from right to left against its neighbours."""

    def __init__(self, *, stderr: bool = False) -> None:
        screen = (sys.stderr if stderr else sys.stdout).isatty()
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, width=None if screen else WIDTH)

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(shown(text), **how)
