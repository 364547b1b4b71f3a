"""What in finance's files matches nothing, or names what is not there, or is too old to convert by.

What lives here: comparing the files with what the database holds of a month, for the audit table, the load and the
check alike. What does not: reading the files (``reference``), showing it (``proof`` of the reports, ``pipelines``).

A notice never quotes the file, only what was probably meant: its line says where to look.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import product

import duckdb

from warehouse.reference import (
    ACCOUNTS,
    ALLOCATION,
    BUDGETS,
    COST_CENTRES,
    FX_RATES,
    AllocationRule,
    CostCentreRule,
    Reference,
    did_you_mean,
    likeness,
)

OLD_RATE_DAYS = 45
MOST_COMPARED = 50_000  # names, in a month, for what was probably meant

UNKNOWN, UNMATCHED, OLD_RATE = "unknown", "unmatched", "old_rate"

_Party = tuple[str, str | None, str | None]  # connection, account, extension


@dataclass(frozen=True)
class Notice:
    """One line of one file. ``kind`` is unknown (it names what is not there, or otherwise than elsewhere), unmatched
    (it matched nothing in the month) or old_rate; ``suggestion`` what was probably meant.
    """

    file: str
    line: int
    kind: str
    reason: str
    suggestion: str | None = None

    def __str__(self) -> str:
        meant = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.file} line {self.line}: {self.reason}{meant}"


@dataclass
class Month:
    """What was charged in a month, as far as finance's files can match it."""

    parties: set[_Party] = field(default_factory=set)
    charges: set[tuple[str | None, ...]] = field(default_factory=set)  # vendor, connection, kind, item
    charged: set[tuple[str | None, ...]] = field(default_factory=set)  # cost centre, vendor, kind, after allocation
    centres: set[str] = field(default_factory=set)  # of the costs before allocation
    days: dict[str, set[date]] = field(default_factory=lambda: defaultdict(set))  # by currency
    posted: set[tuple[str | None, ...]] = field(default_factory=set)  # role, vendor, kind, in the journal


@dataclass(frozen=True)
class Facts:
    """What the database holds that finance's files can name.

    ``connections`` are those configured and those loaded, with their vendors; ``accounts`` the ids with their names;
    ``extensions`` what the vendors list now; ``months`` the months with any charge.
    """

    connections: Mapping[str, str]
    accounts: Mapping[tuple[str, str], str | None]
    extensions: frozenset[_Party]
    items: frozenset[str]
    departments: frozenset[str]
    months: Mapping[date, Month]


def read_facts(con: duckdb.DuckDBPyConnection, connections: Mapping[str, str]) -> Facts:
    """The facts of every month, from the private or the published database; ``connections`` are the configured ones."""
    months: dict[date, Month] = defaultdict(Month)

    def ask(sql: str) -> list[tuple[date, tuple[str | None, ...]]]:
        return [(month, tuple(row)) for month, *row in con.execute(sql).fetchall()]

    month_of = "date_trunc('month', cost_date)::DATE AS month"
    for month, (connection, account, extension) in ask(
        f"SELECT DISTINCT {month_of}, connection, account_id, extension FROM mart.cost_daily"
    ):
        months[month].parties.add((str(connection), account, extension))
    for month, row in ask(f"SELECT DISTINCT {month_of}, vendor, connection, charge_kind, item FROM mart.cost_daily"):
        months[month].charges.add(row)
    for month, (centre,) in ask("SELECT DISTINCT month, cost_centre FROM mart.cost_monthly"):
        months[month].centres.add(str(centre))
    for month, row in ask("SELECT DISTINCT month, cost_centre, vendor, charge_kind FROM mart.chargeback"):
        months[month].charged.add(row)
    for month, row in ask("SELECT DISTINCT month, role, vendor, charge_kind FROM mart.journal"):
        months[month].posted.add(row)
    for day, (currency,) in ask(
        "SELECT DISTINCT cost_date, currency FROM mart.cost_daily WHERE cost IS NOT NULL AND currency IS NOT NULL"
    ):
        months[day.replace(day=1)].days[str(currency)].add(day)
    loaded = dict(con.execute("SELECT DISTINCT connection, vendor FROM audit.load").fetchall())
    accounts = con.execute("SELECT connection, account_id, any_value(name) FROM core.account GROUP BY ALL").fetchall()
    extensions = con.execute(
        "SELECT DISTINCT connection, account_id, extension FROM core.extension WHERE extension IS NOT NULL"
    ).fetchall()
    items = con.execute("SELECT service_id FROM core.service UNION SELECT bundle_id FROM core.bundle").fetchall()
    departments = con.execute("SELECT DISTINCT department FROM core.extension WHERE department IS NOT NULL").fetchall()
    return Facts(
        {**loaded, **connections},
        {(connection, account): name for connection, account, name in accounts},
        frozenset(extensions),
        frozenset(item for (item,) in items if item),
        frozenset(name for (name,) in departments),
        dict(months),
    )


def unknown_connections(reference: Reference, connections: Collection[str]) -> Iterator[Notice]:
    """The lines that name a connection that is neither configured nor loaded; it is not a matter of any month."""
    named = [(COST_CENTRES, rule.line, "connection", rule.connection) for rule in reference.rules]
    for allocation in reference.allocations:
        named.append((ALLOCATION, allocation.line, "connection", allocation.connection))
        named.append((ALLOCATION, allocation.line, "calls_of", allocation.calls_of))
    for file, line, column, name in named:
        if name is not None and name not in connections:
            reason = f"there is no connection of the name in {column}"
            yield Notice(file, line, UNKNOWN, reason, did_you_mean(name, connections))


def old_rates(reference: Reference, days: Mapping[str, Iterable[date]]) -> Iterator[Notice]:
    """The rates that convert any of ``days``, by currency, though they are older than OLD_RATE_DAYS."""
    for currency, converted in sorted(days.items()):
        rates = sorted((rate.day, rate.line) for rate in reference.rates if rate.currency == currency)
        newest: dict[int, tuple[date, date]] = {}  # by line: the day of the rate, the last day that it converts
        for day in sorted(converted):
            before = [rate for rate in rates if rate[0] <= day]
            if before and day - before[-1][0] > timedelta(days=OLD_RATE_DAYS):
                newest[before[-1][1]] = (before[-1][0], day)
        for line, (of, day) in newest.items():
            reason = f"the rate of {currency} is of {of}, and {(day - of).days} days old on {day}"
            yield Notice(FX_RATES, line, OLD_RATE, reason)


def notices(reference: Reference, facts: Facts, month: date, reporting_currency: str) -> list[Notice]:
    """What the files have to be looked at for in a month, a line of a file once, by file and line."""
    found: dict[tuple[str, int], Notice] = {}
    there = facts.months.get(month)
    if there is None:
        return []
    rules = [rule for rule in reference.rules if rule.valid_from < _next(month) and rule.valid_to >= month]
    budgets = [budget for budget in reference.budgets if budget.month == month]
    allocations = [rule for rule in reference.allocations if rule.first_month <= month <= rule.last_month]
    of_month = Reference(tuple(rules), reference.rates, tuple(budgets), tuple(allocations), reference.accounts)
    converted = {currency: set(days) for currency, days in there.days.items() if currency != reporting_currency}
    for budget in budgets:
        if budget.currency != reporting_currency:
            converted.setdefault(budget.currency, set()).add(month)
    for notice in (
        *unknown_connections(of_month, facts.connections),
        *_spellings(of_month, facts),
        *_cost_centres(of_month, facts, there),
        *_rates(of_month, month, converted, reporting_currency),
        *_budgets(of_month, facts, there),
        *_allocations(of_month, facts, there),
        *_accounts(of_month, there),
    ):
        found.setdefault((notice.file, notice.line), notice)
    return [found[key] for key in sorted(found)]


def _next(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _spellings(reference: Reference, facts: Facts) -> Iterator[Notice]:
    """Cost centres that are written in two ways: the vendors' departments first, then the files in order."""
    first = {likeness(name): name for name in sorted(facts.departments, reverse=True)}
    named = [(COST_CENTRES, rule.line, rule.cost_centre) for rule in reference.rules]
    for allocation in reference.allocations:
        for (name, _), line in zip(allocation.shares, allocation.share_lines, strict=True):
            named.append((ALLOCATION, line, name))
    named.extend((BUDGETS, budget.line, budget.cost_centre) for budget in reference.budgets)
    order = [COST_CENTRES, ALLOCATION, BUDGETS]
    for file, line, name in sorted(named, key=lambda each: (order.index(each[0]), each[1])):
        usual = first.setdefault(likeness(name), name)
        if name != usual:
            yield Notice(file, line, UNKNOWN, "this cost centre is written otherwise elsewhere", usual)


def _cost_centres(reference: Reference, facts: Facts, month: Month) -> Iterator[Notice]:
    charged = _by_scope(month.parties)
    known = _by_scope((*facts.extensions, *month.parties))
    accounts: dict[str | None, dict[str, str | None]] = defaultdict(dict)
    for (connection, account), name in (
        *facts.accounts.items(),
        *(((c, a), facts.accounts.get((c, a))) for c, a, _ in month.parties if a),
    ):
        accounts[connection][account] = accounts[None][account] = name
    guess = _Guesses()
    for rule in reference.rules:
        scope = (rule.connection, rule.account_id)
        if charged[scope].any_of(rule):
            continue
        ids = accounts[rule.connection]
        of = " on this connection" if rule.connection else ""
        if rule.account_id is not None and rule.account_id not in ids:
            meant = guess(rule.account_id, ids)
            if meant is None:
                names = {name: account for account, name in ids.items() if name} if guess.left > 0 else {}
                meant = names.get(guess(rule.account_id, names) or "")
            yield Notice(COST_CENTRES, rule.line, UNKNOWN, f"there is no such account{of}", meant)
            continue
        if rule.extension_from is not None and known[scope].numbers and not known[scope].any_of(rule):
            reason = f"there is no such extension{of}"
            yield Notice(COST_CENTRES, rule.line, UNKNOWN, reason, known[scope].meant(rule, guess))
        else:
            yield Notice(COST_CENTRES, rule.line, UNMATCHED, "nothing was charged that it is for")


class _Guesses:
    """``did_you_mean`` for the first lines: each is compared with every name, which is not done for thousands."""

    def __init__(self) -> None:
        self.left = MOST_COMPARED

    def __call__(self, text: str, known: Collection[str]) -> str | None:
        self.left -= len(known)
        return did_you_mean(text, known) if self.left >= 0 else None


class _Extensions:
    """The extensions of one scope, each perhaps None, to be asked for those that a rule is for."""

    def __init__(self, extensions: Iterable[str | None] = ()) -> None:
        found = set(extensions)
        self._some = bool(found)
        self.numbers = {number for number in found if number}
        self._sorted = sorted((len(number), number) for number in self.numbers)
        self._lengths = sorted({length for length, _ in self._sorted})

    def any_of(self, rule: CostCentreRule) -> bool:
        """Whether the rule is for any of them, as ``cost_daily.sql`` has it."""
        low, high = rule.extension_from, rule.extension_to
        if low is None or high is None:
            return self._some
        return low in self.numbers if low == high else bool(self._between(low, high))

    def meant(self, rule: CostCentreRule, guess: _Guesses) -> str | None:
        """What was probably meant by a rule that is for none of them."""
        low, high = str(rule.extension_from), str(rule.extension_to)
        if low == high:
            return guess(low, self.numbers)
        # A range that lost its leading zeros.
        for digits in self._lengths:
            if digits > len(low) and any(
                number.isdecimal() for number in self._between(low.zfill(digits), high.zfill(digits))
            ):
                return f"{low.zfill(digits)}-{high.zfill(digits)}"
        return None

    def _between(self, low: str, high: str) -> list[str]:
        first, last = bisect_left(self._sorted, (len(low), low)), bisect_right(self._sorted, (len(high), high))
        return [number for _, number in self._sorted[first : min(last, first + 100)]]


def _by_scope(parties: Iterable[_Party]) -> dict[tuple[str | None, str | None], _Extensions]:
    """The extensions by connection and account, and by any of both."""
    found: dict[tuple[str | None, str | None], set[str | None]] = defaultdict(set)
    for connection, account, extension in parties:
        for scope in ((connection, account), (connection, None), (None, account), (None, None)):
            found[scope].add(extension)
    return defaultdict(_Extensions, {scope: _Extensions(extensions) for scope, extensions in found.items()})


def _rates(
    reference: Reference, month: date, converted: Mapping[str, Collection[date]], reporting_currency: str
) -> Iterator[Notice]:
    yield from old_rates(reference, converted)
    latest = {
        rate.currency: rate.line
        for rate in sorted(reference.rates, key=lambda rate: rate.day)
        if rate.day < _next(month) and rate.currency != reporting_currency
    }
    for currency, line in latest.items():
        if currency not in converted:
            meant = did_you_mean(currency, set(converted) - set(latest))
            reason = f"no charge and no budget of the month is in {currency}"
            yield Notice(FX_RATES, line, UNKNOWN if meant else UNMATCHED, reason, meant)


def _budgets(reference: Reference, facts: Facts, month: Month) -> Iterator[Notice]:
    centres = month.centres | {str(centre) for centre, *_ in month.charged} | facts.departments
    centres |= {rule.cost_centre for rule in reference.rules}
    centres |= {name for rule in reference.allocations for name, _ in rule.shares}
    guess, wanted = _Guesses(), _wanted_by(month.charged)
    for budget in reference.budgets:
        if budget.cost_centre not in centres:
            meant = guess(budget.cost_centre, centres)
            yield Notice(BUDGETS, budget.line, UNKNOWN, "nothing else knows this cost centre", meant)
        elif (budget.cost_centre, budget.vendor, budget.charge_kind) not in wanted:
            yield Notice(BUDGETS, budget.line, UNMATCHED, "nothing was charged that it is for")


def _allocations(reference: Reference, facts: Facts, month: Month) -> Iterator[Notice]:
    items = facts.items | {str(item) for *_, item in month.charges if item}
    guess, wanted = _Guesses(), _wanted_by(month.charges)
    for rule in reference.allocations:
        if rule.scope in wanted:
            continue
        if rule.item is not None and rule.item not in items:
            reason = "there is no such service or bundle"
            yield Notice(ALLOCATION, rule.line, UNKNOWN, reason, guess(rule.item, items))
        else:
            yield Notice(ALLOCATION, rule.line, UNMATCHED, _no_charge(rule, facts))


def _no_charge(rule: AllocationRule, facts: Facts) -> str:
    if rule.vendor and rule.vendor not in facts.connections.values():
        return "there is no connection of this vendor"
    return "nothing was charged that it is for"


def _accounts(reference: Reference, month: Month) -> Iterator[Notice]:
    wanted = _wanted_by(month.posted)
    for rule in reference.accounts:
        if rule.line and (rule.role, rule.vendor, rule.charge_kind) not in wanted:
            yield Notice(ACCOUNTS, rule.line, UNMATCHED, "the journal has no line that it is for")


def _wanted_by(found: Iterable[tuple[str | None, ...]]) -> set[tuple[str | None, ...]]:
    """Everything that a line can say and be for any of these; None is any."""
    return {wanted for each in found for wanted in product(*((value, None) for value in each))}
