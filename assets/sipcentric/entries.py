"""Entries of Sipcentric's responses in SQL: the fields of calls and messages, each as text.

What lives here: expressions that both share. What does not: what they mean (``calls``, ``messages``).
"""

import json

# DuckDB hands a number on as a double: costs are made text first, so that every digit arrives.
EXACT = """regexp_replace(body, '("cost"[ \\t\\r\\n]*:[ \\t\\r\\n]*)(-?[0-9][0-9.eE+-]*)', '\\1"\\2"', 'g')"""


# Both timestamp styles say their offset; a time without one is UTC, as the session is.
INSTANT = "CASE WHEN {text} LIKE '____-__-__T%' THEN try_cast({text} AS TIMESTAMPTZ) END"


LETTERS = "regexp_replace(upper(coalesce({text}, '')), '[^A-Z]', '', 'g')"


def items_form(fields: tuple[str, ...]) -> str:
    """The form of a response's items for ``from_json``: these fields, each as text."""
    return json.dumps({"items": [dict.fromkeys(fields, "VARCHAR")]})
