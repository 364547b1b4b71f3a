"""Text from outside, as no more than text: a caller's name, a vendor's words.

What lives here: what is left out of it wherever a person reads it. What does not: how each form writes text
(``reports``, ``pipelines.terminal``). Core keeps what the vendor wrote.
"""

import re

# Control characters but tab, line feed and carriage return; marks that turn the direction of what follows; separators
# that some take for the end of a line; tags; halves of surrogate pairs and what is no character.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb"
    "\ufffe\uffff\U000e0000-\U000e007f]"
)

_LONGEST_LINE = 1_000


def printable(text: str, instead: str = "") -> str:
    """``text`` with ``instead`` for each character that is not read but does something to the reader's screen."""
    return text if text.isprintable() else _UNPRINTABLE.sub(instead, text)


def one_line(text: str) -> str:
    """``text`` as one line of a log or a list of notes, so that nothing in it passes for a line of its own."""
    line = " ".join(shown(text).split())
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"


def shown(text: str) -> str:
    """``text`` for a terminal: with a replacement mark for each such character, and for what moves the cursor back."""
    mark = "\N{REPLACEMENT CHARACTER}"
    return printable(text, mark).replace("\r", mark)
