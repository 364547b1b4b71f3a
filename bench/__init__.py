"""Measurements against the goals of ``bench/RESULTS.md``: ``python -m bench``, or ``make bench``.

What lives here: servers and histories of any size, made from nothing but a number of rows, and what is measured on
them, always beside its floor. What does not: whether answers and figures are right (``tests``); the bundled vendors
(``pipelines.demo``), which are too slow to measure against.
"""
