"""The state of the proof: is the month complete, reconciled, closed, and what was restated since it was first read.

What lives here: which sections and flags of the audit tables a report has, in their order. What does not: what each
asks (``sections``), costs (``content``).
Nothing here looks at a clock: a month is open while the newest loaded business day lies before its last day, and the
days that are due are those before the day that the settings say it is.
"""

from dataclasses import dataclass
from datetime import date

from warehouse.published import MOVEMENTS, Movement
from warehouse.reports.model import Flag, ReportSettings, Section
from warehouse.reports.query import Reader
from warehouse.reports.sections import closed, complete, left_out, reconciled, restated


@dataclass(frozen=True)
class Proof:
    """What the audit tables say about the month."""

    as_of: date | None
    flags: tuple[Flag, ...]
    first_page: tuple[Section, ...]
    sections: tuple[Section, ...]


def read_proof(reader: Reader, settings: ReportSettings) -> Proof:
    """Ask the audit tables everything, once."""
    as_of = reader.one("SELECT max(window_to) FROM audit.load WHERE status <> 'failed'")[0]
    completeness, unusual = complete.completeness(reader, settings, as_of), complete.unusual(reader)
    extensions = reconciled.extensions(reader)
    movements = [movement for movement in map(Movement.of, reader.all(MOVEMENTS)) if movement.month == reader.first]
    moved, since_close, largest_since_close = closed.moved(reader), *closed.since_close(reader)
    controls = reconciled.controls(reader)
    variances, largest_variances = reconciled.variances(reader)
    restatement_counts, restatements, largest_restatements = restated.restatements(reader)
    quarantine = left_out.quarantine(reader)
    reference = left_out.reference(reader)
    flags = (
        *complete.completeness_flags(reader, completeness, as_of),
        *complete.unconfigured_flags(reader, settings),
        *complete.unusual_flags(unusual),
        *complete.provisional_flags(reader, as_of),
        *closed.closed_flags(reader, movements, as_of),
        *reconciled.reconciled_flags(controls, variances),
        *reconciled.extension_flags(extensions),
        *reconciled.tie_out_flags(reader),
        *restated.restated_flags(restatement_counts),
        *left_out.quarantine_flags(quarantine),
        *left_out.amount_flags(reader, settings.reporting_currency),
        *left_out.reference_flags(reference),
    )
    return Proof(
        as_of,
        flags,
        (
            completeness,
            unusual,
            controls,
            largest_variances,
            extensions,
            moved,
            largest_since_close,
            restatement_counts,
            largest_restatements,
            reference,
        ),
        (variances, since_close, restatements, quarantine),
    )
