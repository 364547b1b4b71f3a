"""Parsing a large day in a second thread while the vendor is still being read.

Why: parsing is 20 to 30 % of a large day's time, and while the vendor is waited for the processor has nothing to do.
What lives here: handing responses over as they are landed, and throwing away what does not count. What does not: the
parsing itself (the vendors' modules), making core of it (``warehouse.merge``).
"""

from contextlib import ExitStack, closing
from queue import Queue
from threading import Thread

import duckdb
import pyarrow as pa

from assets.stream import Source, Stream, Window
from warehouse.merge import Parser, session
from warehouse.raw import PARSED_BYTES, Landing, RawWriter


class ParseAhead:
    """Parses the first landing of a day in a thread of its own, while the vendor is still being read.

    It does nothing that is not done anyway once the responses are landed, and the same way. What becomes of it is a
    staged file, which is thrown away where the reading begins anew or fails, or where parsing fails: then it is done
    again from the landing, and fails there. A landing that fits into one batch is not worth a thread.
    """

    def __init__(self, source: Source, stream: Stream, window: Window) -> None:
        self._source, self._stream, self._window = source, stream, window
        self._landed: RawWriter | None = None
        self._held: pa.Table | None = None
        self._run: _Run | None = None

    def __enter__(self) -> "ParseAhead":
        return self

    def __exit__(self, *_: object) -> None:
        self.restart()

    def watch(self, writer: RawWriter) -> None:
        """Follow this landing, if it is one whose rows will stand as they are parsed."""
        if self._stream.begin is not None and writer.first and self._window.first == self._window.last:
            self._landed = writer
            writer.watch(self)

    def add(self, responses: pa.Table) -> None:
        """These have been landed."""
        if self._run is None and self._held is None:
            self._held = responses
            return
        if self._run is None:
            assert self._landed is not None
            self._run = _Run(self._source, self._stream, self._landed, self._window)
        if self._held is not None:
            self._run.add(self._held)
            self._held = None
        self._run.add(responses)

    def restart(self) -> None:
        """What was landed so far does not count."""
        self._held = None
        if self._run is not None:
            self._run.close()
            self._run = None

    def parser(self, landing: Landing) -> tuple[duckdb.DuckDBPyConnection, Parser] | None:
        """The parser of this landing with all its responses, and its session, if it was followed to the end."""
        if self._run is None or self._landed is None or self._landed.file != landing.file:
            return None
        return self._run.result()


class _Run:
    """One thread that parses what it is handed, with a session and a folder of its own."""

    def __init__(self, source: Source, stream: Stream, writer: RawWriter, window: Window) -> None:
        assert stream.begin is not None
        assert window.first is not None
        self._begin = stream.begin
        self._source, self._writer, self._day = source, writer, window.first
        self._open = ExitStack()
        self._folder = self._open.enter_context(source.lake.ahead())
        self._con = self._open.enter_context(closing(session(source.lake, self._folder / "spill")))
        self._waiting: Queue[pa.Table | None] = Queue(maxsize=4)  # what waits is in memory
        self._parser: Parser | None = None
        self._failed = self._ended = False
        self._thread = Thread(target=self._work, name="parsing", daemon=True)
        self._thread.start()

    def add(self, responses: pa.Table) -> None:
        self._waiting.put(responses)

    def result(self) -> tuple[duckdb.DuckDBPyConnection, Parser] | None:
        self._end()
        return None if self._failed or self._parser is None else (self._con, self._parser)

    def close(self) -> None:
        self._failed = True
        self._end()
        self._open.close()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _work(self) -> None:
        try:
            self._parser = self._begin(
                self._source, self._con, self._writer.file, self._writer.depends_on, self._day, self._folder
            )
            while responses := self._come():
                if not self._failed:
                    self._parser.add(pa.concat_tables(responses))
        except Exception:
            self._failed = True
            while self._come():
                pass  # nobody shall wait for room in the queue

    def _come(self) -> list[pa.Table]:
        """As many as are parsed at once, or the last; [] once nothing more comes."""
        come: list[pa.Table] = []
        while not self._ended and sum(each.nbytes for each in come) < PARSED_BYTES:
            responses = self._waiting.get()
            self._ended = responses is None
            come += [] if responses is None else [responses]
        return come
