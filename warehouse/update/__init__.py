"""One update of the private database: rows of core in, and everything that depends on them derived, proved, or refused.

What lives here: ``run`` (the steps in their order), ``intake`` (rows of core), ``calls`` (put together from legs),
``scopes`` (which days are derived again), ``inputs`` (settings and finance's files), ``sql`` (reading our SQL). What
does not: the file, the transaction and the publication (``database``), the SQL itself (``*.sql``, ``marts``,
``tie_outs``, ``views``), tables and columns (``schema``), Parquet (``lake``), the figures of closed months (``close``).
"""

from warehouse.update.inputs import Policy, Tolerance
from warehouse.update.intake import REBUILD, Partition
from warehouse.update.run import UpdateResult

__all__ = ["REBUILD", "Partition", "Policy", "Tolerance", "UpdateResult"]
