"""The limits from which a day's calls are a signal of possible toll fraud.

What lives here: the limits and their defaults. What does not: reading them from the configuration
(``pipelines.settings``), the rules themselves (``marts/fraud_signal.sql``).
"""

from dataclasses import dataclass
from decimal import Decimal

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

# Countries whose numbers begin with +1 as those of the United States, Canada and their outlying territories do.
FOREIGN_NANP = tuple(sorted({*COUNTRY_CODE_TO_REGION_CODE[1]} - {"US", "CA", "PR", "VI", "GU", "AS", "MP"}))


@dataclass(frozen=True)
class FraudRules:
    """``[fraud]``: a limit of calls is per business day and extension; the hours are local, ``closes`` is not open.

    ``spike_minimum`` is an amount in the currency of the calls, below which no day is a spike; ``spike_times`` is how
    often the same weekday's median a spike is. ``learning_days`` pass after an account's first call before a country
    can be new to it.
    """

    opens: int = 7
    closes: int = 19
    open_weekends: bool = False
    out_of_hours_calls: int = 5
    premium_calls: int = 3
    nanp_calls: int = 1
    learning_days: int = 28
    spike_times: int = 3
    spike_minimum: Decimal = Decimal(20)
