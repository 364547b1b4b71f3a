"""Finance's own files: cost centres, rates to the reporting currency, budgets, allocation rules, ledger accounts.

What lives here: reading and checking the files. What does not: applying them (``cost_daily.sql``, ``budget.sql``,
``chargeback.sql`` and ``journal.sql`` in ``marts``), and finding out what in them matches nothing
(``reference_notices``). All are optional; a wrong line is refused with its number, never with its contents.

Spreadsheets leave things in a file that nobody sees or means: spaces that are none, marks of no width, a line break in
a cell, an apostrophe before a number, a longer dash in a range, semicolons for commas. They are taken away where the
text can mean one thing only. Case, leading zeros and spellings are the writer's, and stay.
"""

import csv
import difflib
import hashlib
import io
import re
import unicodedata
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

from tollbook_errors import ConfigError, StorageError
from warehouse.schema import CHARGE_KINDS, USAGE_KINDS, VENDORS
from warehouse.text import printable
from warehouse.user_files import MIB, WrongFile, read_user_file

COST_CENTRES = "cost_centres.csv"
FX_RATES = "fx_rates.csv"
BUDGETS = "budgets.csv"
ALLOCATION = "allocation.csv"
ACCOUNTS = "accounts.csv"

METHODS = ("calls", "minutes", "extensions", "shares")
ROLES = ("cost", "tax", "creditor", "credit_balance")

# An invoice is owed as a whole, and tax is one account: these are not by kind of charge.
_KINDS_OF_ROLE = {
    "cost": tuple(kind for kind in CHARGE_KINDS if kind != "tax"),
    "tax": (),
    "creditor": USAGE_KINDS,
    "credit_balance": (),
}
_RANGE = re.compile(r"([0-9]+) ?- ?([0-9]+)")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-")
_AS_TEXT = re.compile(r"""="(.*)"|['’‘](.*)""")  # how a spreadsheet is told that a number is a text
_RATE = re.compile(r"\d{1,9}(\.\d{1,9})?")
_AMOUNT = re.compile(r"\d{1,9}(\.\d{1,6})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/:-]{0,63}")
MOST_BYTES = 32 * MIB
MOST_LINES = 100_000
MOST_RANGES = 50  # that hold one extension
LONGEST_CELL = 1_000  # characters; no name or number of anything is longer
_EVER = (date(1, 1, 1), date(9999, 12, 1))  # the first and the last month there can be


@dataclass(frozen=True)
class CostCentreRule:
    """One line of ``cost_centres.csv``. None stands for any; both dates and both ends of the range are inclusive."""

    connection: str | None
    account_id: str | None
    extension_from: str | None
    extension_to: str | None
    cost_centre: str
    valid_from: date
    valid_to: date
    line: int

    @property
    def target(self) -> tuple[str | None, ...]:
        return (self.connection, self.account_id, self.extension_from, self.extension_to)

    def _rank(self) -> tuple[int, ...]:
        """Sorts the most specific first: one extension, a narrow range, a wide one, any; then account and connection.

        Of two equally specific rules the later one to begin wins, then the one that stands first in the file.
        """
        width = -1
        if self.extension_from is not None and self.extension_to is not None:
            same = self.extension_from == self.extension_to
            width = 0 if same else int(self.extension_to) - int(self.extension_from)
        return (
            self.extension_from is None,
            width,
            self.account_id is None,
            self.connection is None,
            -self.valid_from.toordinal(),
            self.line,
        )


@dataclass(frozen=True)
class FxRate:
    """From ``day`` until the next one, one unit of ``currency`` is ``rate`` units of the reporting currency."""

    day: date
    currency: str
    rate: Decimal
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Budget:
    """What a cost centre may cost in the month that begins on ``month``; vendor and kind None: whatever for."""

    month: date
    cost_centre: str
    vendor: str | None
    charge_kind: str | None
    amount: Decimal
    currency: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class AllocationRule:
    """How the charges of a scope are divided between cost centres, in the months from the first to the last.

    None stands for any. ``method`` is one of METHODS; ``shares`` are cost centres with their weights, of the last one
    only, ``share_lines`` the line of each. ``calls_of`` is the connection whose calls, minutes or extensions are the
    measure.
    """

    name: str
    vendor: str | None
    connection: str | None
    charge_kind: str | None
    item: str | None
    method: str
    calls_of: str | None
    first_month: date
    last_month: date
    shares: tuple[tuple[str, Decimal], ...]
    line: int
    share_lines: tuple[int, ...] = field(default=(), compare=False)

    @property
    def scope(self) -> tuple[str | None, ...]:
        return (self.vendor, self.connection, self.charge_kind, self.item)

    def _rank(self) -> tuple[int, ...]:
        """Sorts the most specific first: an item, a kind of charge, a connection, a vendor; then by the file."""
        return (
            self.item is None,
            self.charge_kind is None,
            self.connection is None,
            self.vendor is None,
            self.line,
        )


@dataclass(frozen=True)
class AccountRule:
    """The ledger's account for one role in the journal; None stands for any.

    ``by_cost_centre``: whether the lines on it name a cost centre. ``line`` 0: it is none of the file's.
    """

    role: str
    vendor: str | None
    charge_kind: str | None
    account: str
    by_cost_centre: bool
    line: int = field(default=0, compare=False)

    def _rank(self) -> tuple[int, ...]:
        return (self.charge_kind is None, self.vendor is None)


def _default_accounts() -> Iterator[AccountRule]:
    """Accounts by name, for what finance's file does not name: they say what they are in any ledger."""
    for kind in CHARGE_KINDS:
        if kind != "tax":
            yield AccountRule("cost", None, kind, f"EXPENSE-{kind.upper()}", True)
    yield AccountRule("tax", None, None, "INPUT-TAX", False)
    for vendor in VENDORS:
        name = vendor.upper()
        for kind in USAGE_KINDS:
            yield AccountRule("creditor", vendor, kind, f"ACCRUED-{name}", False)
        yield AccountRule("creditor", vendor, None, f"CREDITOR-{name}", False)
        yield AccountRule("credit_balance", vendor, None, f"VENDOR-CREDIT-{name}", False)


DEFAULT_ACCOUNTS = tuple(_default_accounts())


@dataclass(frozen=True)
class Reference:
    """All the files; ``rules``, ``allocations`` and ``accounts`` stand in order, the one to apply first."""

    rules: tuple[CostCentreRule, ...] = ()
    rates: tuple[FxRate, ...] = ()
    budgets: tuple[Budget, ...] = ()
    allocations: tuple[AllocationRule, ...] = ()
    accounts: tuple[AccountRule, ...] = DEFAULT_ACCOUNTS
    digest: str = field(default="", compare=False)


@dataclass(frozen=True)
class RuleTables:
    """Rules of cost centres as tables to join, at a cost that does not grow with rules times parties.

    ``scopes``: number, connection, account. A party has a key in each scope that it is in, made by ``cost_daily.sql``.
    ``segments``: number, and the first key in it; ``matches``: segment, and a target of rules that holds all its keys.
    ``rules``: target, priority, cost centre, first and last day; those of one target do not overlap.
    """

    scopes: list[tuple[int, str | None, str | None]]
    segments: list[tuple[int, str]]
    matches: list[tuple[int, int]]
    rules: list[tuple[int, int, str, date, date]]


def rule_tables(rules: Sequence[CostCentreRule]) -> RuleTables:
    """``rules``, which stand in order, as tables."""
    scopes: dict[tuple[str | None, str | None], int] = {}
    targets: dict[tuple[str | None, ...], int] = {}
    edges: dict[str, list[tuple[bool, int]]] = defaultdict(list)  # by key: whether a target begins or has ended
    dated = []
    for priority, rule in enumerate(rules, 1):
        scope = scopes.setdefault((rule.connection, rule.account_id), len(scopes))
        target = targets.setdefault(rule.target, len(targets))
        dated.append((target, priority, rule.cost_centre, rule.valid_from, rule.valid_to))
        # Extensions of one length sort as numbers do. A rule without any is for all of its scope: ";" follows ":".
        low, high = f"{scope:08d}:", f"{scope:08d};"
        if rule.extension_from is not None and rule.extension_to is not None:
            length = f"{low}{len(rule.extension_from):08d}:"
            low, high = f"{length}{rule.extension_from}", f"{length}{rule.extension_to}~"
        edges[low].append((True, target))
        edges[high].append((False, target))
    segments, matches, held = [], [], set[int]()
    for number, key in enumerate(sorted(edges)):
        held -= {target for begins, target in edges[key] if not begins}
        held |= {target for begins, target in edges[key] if begins}
        segments.append((number, key))
        matches += [(number, target) for target in held]
    return RuleTables([(number, *of) for of, number in scopes.items()], segments, matches, dated)


def read_reference(folder: Path | None, reporting_currency: str) -> Reference:
    """Read what there is of the files in ``folder`` (None: there is none).

    Raises ConfigError naming file and line for a missing column, a bad date or amount, or a line that says again or
    otherwise what another one says; StorageError when a file cannot be read.
    """
    if folder is None:
        return Reference()
    digest = hashlib.sha256()
    rules = _cost_centres(folder / COST_CENTRES, digest.update)
    rates = _fx_rates(folder / FX_RATES, reporting_currency, digest.update)
    budgets = _budgets(folder / BUDGETS, digest.update)
    allocations = _allocations(folder / ALLOCATION, digest.update)
    accounts = _accounts(folder / ACCOUNTS, digest.update)
    return Reference(
        tuple(sorted(rules, key=CostCentreRule._rank)),
        tuple(rates),
        tuple(budgets),
        tuple(sorted(allocations, key=AllocationRule._rank)),
        (*sorted(accounts, key=AccountRule._rank), *DEFAULT_ACCOUNTS),
        digest.hexdigest(),
    )


def _cost_centres(path: Path, seen: Callable[[bytes], None]) -> list[CostCentreRule]:
    rules: list[CostCentreRule] = []
    taken = _Taken()
    columns = ("connection", "account", "extension", "cost_centre", "from", "to")
    for line, row in _rows(path, columns, seen):
        if not row["cost_centre"]:
            raise _wrong(path, line, "the cost centre is empty")
        low, high = _extensions(path, line, row["extension"])
        rule = CostCentreRule(
            _id(row["connection"]) or None,
            _id(row["account"]) or None,
            low,
            high,
            row["cost_centre"],
            _day(path, line, "from", row["from"]) if row["from"] else date.min,
            _day(path, line, "to", row["to"]) if row["to"] else date.max,
            line,
        )
        if rule.valid_to < rule.valid_from:
            raise _wrong(path, line, "it ends before it begins")
        if other := taken.take(rule.target, rule.valid_from, rule.valid_to, line):
            raise _wrong(path, line, f"line {other} is for the same extensions and overlaps it in time")
        rules.append(rule)
    _refuse_depth(path, rules)
    return rules


class _Taken:
    """Which stretches of time are taken, of each thing that only one line may be for at a time."""

    def __init__(self) -> None:
        self._stretches: dict[object, list[tuple[date, date, int]]] = defaultdict(list)

    def take(self, thing: object, first: date, last: date, line: int) -> int | None:
        """Take a stretch for a line; where part of it is taken already, the line that has that."""
        stretches = self._stretches[thing]  # in order, none overlaps another
        place = bisect(stretches, (first, last, line))
        near = [each for each in stretches[max(0, place - 1) : place + 1] if each[0] <= last and each[1] >= first]
        if near:
            return min(taken_by for *_, taken_by in near)
        stretches.insert(place, (first, last, line))
        return None


def _refuse_depth(path: Path, rules: list[CostCentreRule]) -> None:
    """ConfigError where more ranges than MOST_RANGES hold one extension: each is looked at for each extension in it."""
    ends: dict[tuple[object, ...], list[tuple[str, bool, int]]] = defaultdict(list)
    for low, high, connection, account, line in {
        rule.target: (rule.extension_from, rule.extension_to, rule.connection, rule.account_id, rule.line)
        for rule in reversed(rules)  # the first line of a target is named
    }.values():
        if low is not None and high is not None and low != high:
            ends[connection, account, len(low)] += [(low, False, line), (high, True, line)]
    for edges in ends.values():
        depth = 0
        for _, is_end, line in sorted(edges):
            depth += -1 if is_end else 1
            if depth > MOST_RANGES:
                raise _wrong(path, line, f"more than {MOST_RANGES} ranges hold one extension")


def _extensions(path: Path, line: int, text: str) -> tuple[str | None, str | None]:
    text = _id(text)
    span = _RANGE.fullmatch(text.translate(_DASHES))
    if not span:
        if re.search(r"[\s,;/]", text):
            raise _wrong(path, line, "an extension is one number, or a range such as 101-105")
        return text or None, text or None
    low, high = span.groups()
    if len(low) != len(high) or low > high:
        raise _wrong(path, line, "both ends of a range of extensions need as many digits, the smaller one first")
    return low, high


def _fx_rates(path: Path, reporting_currency: str, seen: Callable[[bytes], None]) -> list[FxRate]:
    rates: dict[tuple[date, str], int] = {}
    found: list[FxRate] = []
    for line, row in _rows(path, ("date", "currency", "rate"), seen):
        day = _day(path, line, "date", row["date"])
        if not _CURRENCY.fullmatch(row["currency"]):
            raise _wrong(path, line, "the currency is no ISO 4217 code of three capital letters")
        if not _RATE.fullmatch(row["rate"]) or not Decimal(row["rate"]):
            raise _wrong(
                path,
                line,
                "the rate is no positive decimal with at most 9 digits before and after a point, and no comma",
            )
        rate = FxRate(day, row["currency"], Decimal(row["rate"]), line)
        if rate.currency == reporting_currency and rate.rate != 1:
            raise _wrong(path, line, "the rate of the reporting currency to itself is 1")
        earlier = rates.setdefault((rate.day, rate.currency), line)
        if earlier != line:
            raise _wrong(path, line, f"line {earlier} is for the same date and currency")
        found.append(rate)
    return found


def _budgets(path: Path, seen: Callable[[bytes], None]) -> list[Budget]:
    found: list[Budget] = []
    lines: dict[tuple[date | str | None, ...], int] = {}
    columns = ("month", "cost_centre", "vendor", "charge_kind", "amount", "currency")
    for line, row in _rows(path, columns, seen):
        month = _month(path, line, "month", row["month"])
        if not row["cost_centre"]:
            raise _wrong(path, line, "the cost centre is empty")
        vendor, kind = _vendor(path, line, row["vendor"]), _kind(path, line, row["charge_kind"])
        if not _AMOUNT.fullmatch(row["amount"]):
            raise _wrong(
                path, line, "the amount is no decimal with at most 9 digits before and 6 after a point, and no comma"
            )
        if not _CURRENCY.fullmatch(row["currency"]):
            raise _wrong(path, line, "the currency is no ISO 4217 code of three capital letters")
        budget = Budget(month, row["cost_centre"], vendor, kind, Decimal(row["amount"]), row["currency"], line)
        target = (month, budget.cost_centre, vendor, kind, budget.currency)
        earlier = lines.setdefault(target, line)
        if earlier != line:
            raise _wrong(path, line, f"line {earlier} is for the same month, cost centre, vendor, kind and currency")
        found.append(budget)
    return found


def _allocations(path: Path, seen: Callable[[bytes], None]) -> list[AllocationRule]:
    """The rules; the lines of one name and the same months are one rule."""
    rules: dict[tuple[str, date, date], AllocationRule] = {}
    percent: dict[tuple[str, date, date], bool] = {}
    names, scopes = _Taken(), _Taken()
    columns = (
        *("rule", "vendor", "connection", "charge_kind", "item", "method", "calls_of"),
        *("cost_centre", "share", "from", "to"),
    )
    for line, row in _rows(path, columns, seen):
        rule = _allocation(path, line, row)
        key = (rule.name, rule.first_month, rule.last_month)
        known = rules.get(key)
        if known is None:
            if other := names.take(rule.name, rule.first_month, rule.last_month, line):
                raise _wrong(path, line, f"line {other} is of the same rule and overlaps it in time")
            if other := scopes.take(rule.scope, rule.first_month, rule.last_month, line):
                raise _wrong(path, line, f"line {other} is for the same charges and overlaps it in time")
            rules[key], percent[key] = rule, row["share"].endswith("%")
            continue
        if (known.scope, known.method, known.calls_of) != (rule.scope, rule.method, rule.calls_of):
            raise _wrong(path, line, f"line {known.line} begins the same rule otherwise; only its shares can differ")
        if rule.method != "shares" or rule.shares[0][0] in dict(known.shares):
            raise _wrong(path, line, "an earlier line of the rule says this already")
        if row["share"].endswith("%") is not percent[key]:
            raise _wrong(path, line, "the shares of a rule are all percentages or all weights")
        rules[key] = replace(
            known, shares=(*known.shares, *rule.shares), share_lines=(*known.share_lines, *rule.share_lines)
        )
    for key, rule in rules.items():
        if percent[key] and sum(share for _, share in rule.shares) != 100:
            raise _wrong(path, rule.line, "the percentages of the rule that begins here are not 100 together")
    return list(rules.values())


def _allocation(path: Path, line: int, row: dict[str, str]) -> AllocationRule:
    """One line as a rule, with one share at most."""
    if not row["rule"]:
        raise _wrong(path, line, "the rule has no name")
    method = _one_of(path, line, "method", row["method"], METHODS)
    shares: tuple[tuple[str, Decimal], ...] = ()
    if method == "shares":
        share = row["share"].removesuffix("%").rstrip()
        if not _AMOUNT.fullmatch(share) or not Decimal(share):
            raise _wrong(
                path, line, "the share is no positive decimal with at most 9 digits before and 6 after the point"
            )
        if not row["cost_centre"]:
            raise _wrong(path, line, "the cost centre is empty")
        if row["calls_of"]:
            raise _wrong(path, line, "fixed shares are of nobody's calls: leave calls_of empty")
        shares = ((row["cost_centre"], Decimal(share)),)
    elif row["cost_centre"] or row["share"]:
        raise _wrong(path, line, "only a rule of fixed shares has cost centres and shares")
    first = _month(path, line, "from", row["from"]) if row["from"] else _EVER[0]
    last = _month(path, line, "to", row["to"]) if row["to"] else _EVER[1]
    if last < first:
        raise _wrong(path, line, "it ends before it begins")
    return AllocationRule(
        row["rule"],
        _vendor(path, line, row["vendor"]),
        _id(row["connection"]) or None,
        _kind(path, line, row["charge_kind"]),
        _id(row["item"]) or None,
        method,
        _id(row["calls_of"]) or None,
        first,
        last,
        shares,
        line,
        (line,) * len(shares),
    )


def _accounts(path: Path, seen: Callable[[bytes], None]) -> list[AccountRule]:
    found: list[AccountRule] = []
    lines: dict[tuple[str | None, ...], int] = {}
    columns = ("role", "vendor", "charge_kind", "account", "by_cost_centre")
    for line, row in _rows(path, columns, seen):
        role, by_cost_centre = _one_of(path, line, "role", row["role"], ROLES), row["by_cost_centre"]
        vendor, kind = _vendor(path, line, row["vendor"]), _kind(path, line, row["charge_kind"])
        if kind and kind not in _KINDS_OF_ROLE[role]:
            raise _wrong(path, line, f"a {role} is not by this kind of charge")
        if not _ACCOUNT.fullmatch(row["account"]):
            raise _wrong(path, line, "the account is no code of letters, digits, spaces and . _ / : -")
        if by_cost_centre not in ("", "yes", "no") or (by_cost_centre == "yes" and role not in ("cost", "tax")):
            raise _wrong(path, line, "by_cost_centre is yes or no, and yes for cost and tax only")
        earlier = lines.setdefault((role, vendor, kind), line)
        if earlier != line:
            raise _wrong(path, line, f"line {earlier} is for the same role, vendor and kind")
        split = by_cost_centre == "yes" if by_cost_centre else role == "cost"
        found.append(AccountRule(role, vendor, kind, row["account"], split, line))
    return found


def _vendor(path: Path, line: int, text: str) -> str | None:
    return _one_of(path, line, "vendor", text, VENDORS) if text else None


def _kind(path: Path, line: int, text: str) -> str | None:
    return _one_of(path, line, "kind of charge", text, CHARGE_KINDS) if text else None


def _one_of(path: Path, line: int, what: str, text: str, known: Collection[str]) -> str:
    if text not in known:
        near = did_you_mean(text, known)
        raise _wrong(path, line, f"the {what} is none of {', '.join(known)}{f'; did you mean {near}?' if near else ''}")
    return text


def did_you_mean(text: str, known: Collection[str]) -> str | None:
    """The known name that is ``text`` but for case, spaces, dashes, quotes or leading zeros, else one like it."""
    wanted = likeness(text)
    same = sorted(name for name in known if likeness(name) == wanted)
    if same:
        return same[0]
    if not re.search("[a-z]", wanted):  # a number like it is another one
        return None
    # So is a name with another number in it, as in a list of numbered cost centres.
    number = _digits(wanted)
    folded = {
        n.casefold(): n for n in sorted(known, reverse=True) if _digits(likeness(n)) in ("", number) or not number
    }
    close = difflib.get_close_matches(text.casefold()[:100], sorted(folded), n=1, cutoff=0.66)
    return folded[close[0]] if close else None


def _digits(text: str) -> str:
    return "".join(re.findall("[0-9]", text))


def likeness(text: str) -> str:
    """What is left of a name without case, spaces, dashes, quotes, leading zeros and the decimals of a whole number."""
    folded = re.sub(r"\.0+$", "", unicodedata.normalize("NFKC", text).casefold())
    shorter = re.sub("[0-9]+", lambda digits: digits[0].lstrip("0") or "0", folded)
    return "".join(letter for letter in shorter if letter.isalnum()) or folded


def _id(text: str) -> str:
    """A name or number of somebody else's, without what told a spreadsheet that it is a text."""
    marked = _AS_TEXT.fullmatch(text)
    return (marked[1] or marked[2] or "").strip() if marked else text


def _clean(cell: str) -> str:
    """A cell without what nobody sees, each stretch of spaces and line breaks as one space."""
    return " ".join(unicodedata.normalize("NFC", printable(cell.translate(_INVISIBLE))).split())


def _rows(path: Path, columns: tuple[str, ...], seen: Callable[[bytes], None]) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines that are not empty, with their numbers; columns by header name, others are let be.

    Cells are parted by commas, semicolons or tabs, whichever the header has most of. A line ``sep=;`` before it, which
    some spreadsheets write, is passed over.
    """
    try:
        content, _ = read_user_file(path, MOST_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", hint="check its permissions") from error
    except WrongFile as error:
        raise ConfigError(f"{path} {error}", hint="it is to be a CSV file") from None
    seen(path.name.encode() + b"\0" + content)
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline=None)
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8", hint="save it as CSV in UTF-8") from None
    lines = list(text)
    if len(lines) > MOST_LINES:
        raise ConfigError(f"{path} has more than {MOST_LINES:,} lines", hint="leave out what is of the past")
    before = 1 if lines and re.match('"?sep=', lines[0]) else 0  # lines before the header
    head = lines[before] if len(lines) > before else ""
    reader = csv.reader(lines[before:], strict=True, delimiter=max(",;\t", key=head.count))
    try:
        header = [_clean(name).lower() for name in next(reader, [])]
        missing = [name for name in columns if header.count(name) != 1]
        if missing:
            raise _wrong(path, before + 1, f"there must be one column {' and one '.join(missing)}")
        line = before + reader.line_num + 1
        for cells in reader:
            cleaned = [_clean(cell) for cell in cells]
            if any(cleaned):
                if max(map(len, cells)) > LONGEST_CELL:
                    raise _wrong(path, line, f"a cell has more than {LONGEST_CELL:,} characters")
                if len(cells) != len(header):
                    raise _wrong(path, line, f"it has {len(cells)} cells, the header {len(header)}")
                yield line, dict(zip(header, cleaned, strict=True))
            line = before + reader.line_num + 1
    except csv.Error:
        raise _wrong(path, before + reader.line_num, "it is not CSV") from None


def _day(path: Path, line: int, column: str, text: str) -> date:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise _wrong(path, line, f"{column} is no date of the form YYYY-MM-DD")


def _month(path: Path, line: int, column: str, text: str) -> date:
    """The first day of a month."""
    if re.fullmatch(r"\d{4}-\d\d", text):
        try:
            return date.fromisoformat(f"{text}-01")
        except ValueError:
            pass
    raise _wrong(path, line, f"{column} is no month of the form YYYY-MM")


def _wrong(path: Path, line: int, what: str) -> ConfigError:
    return ConfigError(f"{path.name} line {line}: {what}", hint=f"correct {path}")
