"""Lists that need not be given: what was known of one stays where tonight there is none that can be read (T11)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.fake_pbx import DAY, NOON, FakePbx, row
from support.loading import hashes
from support.stand_in import Literal, StandIn, Status, rows, run, source, statuses
from test_sipcentric import Account as SipAccount
from test_sipcentric import endpoint
from test_sipcentric import sample as sip_sample
from test_time4vps import Account as VpsAccount

from assets import pbxware, sipcentric, time4vps
from assets.load import load, update_partition
from assets.stream import Fetch, Outcome, Source, Stream, Window
from tollbook_errors import ContractError, TransientError

pytestmark = pytest.mark.slow  # whole loads

Answering = Callable[[str, dict[str, str]], Any]

# What comes in place of a list, the number of requests until it is believed, and the reason that is given.
GARBLED = {
    "page": (Literal("<!DOCTYPE html><title>Back soon</title>"), 3, "not JSON (it looks like an HTML page)"),
    "notice": (Literal('Notice: Undefined index: x in /var/www/api.php\n{"1": {}}'), 3, "not JSON"),
    "empty": (Literal(""), 3, "is empty"),
    "cut": (Literal('{"9": {"number": "4420'), 3, "ends in the middle"),
    "500": (Status(500), 10, "answered 500"),
    "null": (Literal("null"), 1, ""),
    "text": (Literal('"maintenance"'), 1, ""),
    "nothing": (Literal("{}"), 1, ""),
}
REFUSED = {
    "404": (Status(404), 1, "answered 404"),
    "403": (Status(403), 1, "does not allow"),
    "error": ({"error": "Permission denied"}, 1, ""),
}
ANY = {**GARBLED, **REFUSED}


class Vendor:
    """One connection whose lists are loaded night after night; ``instead`` comes in place of what ``hides`` says."""

    def __init__(self, answering: Answering, vendor: str, hides: Callable[[str, dict[str, str]], bool]) -> None:
        self.instead: Any = None
        self.times = 0  # that it comes; afterwards the vendor is well again
        self.asked = 0  # for the list in question
        self._answering, self._hides, self._vendor = answering, hides, vendor
        self.stand_in = StandIn(self._answer)

    def _answer(self, path: str, query: dict[str, str]) -> Any:
        if not self._hides(path, query):
            return self._answering(path, query)
        self.asked += 1
        self.times -= 1
        return self.instead if self.times >= 0 else self._answering(path, query)

    def trouble(self, instead: Any, times: int = 10_000) -> None:
        self.instead, self.times, self.asked = instead, times, 0

    def source(self, folder: Path) -> Source:
        return source(self.stand_in, folder, self._vendor, currency="EUR")

    def outcome(self, folder: Path) -> Outcome:
        from_ = self.source(folder)
        stream, fetch = lists_of(from_)
        return load(from_, stream, [Window(None, None)], lambda window: fetch)


def lists_of(from_: Source) -> tuple[Stream, Fetch]:
    if from_.vendor == "pbxware":
        return pbxware.LISTS_STREAM, pbxware.fetch_lists(from_)
    if from_.vendor == "sipcentric":
        return sipcentric.LISTS_STREAM, sipcentric.fetch_lists(from_)
    return time4vps.INVOICE_STREAM, time4vps.fetch_invoices(from_)


def a_pbx() -> FakePbx:
    """A call from outside to the DID of extension 100: inbound only for whoever knows the DID."""
    pbx = FakePbx([row(NOON, 1, **{"from": "02079460555", "to": "442079460100"})])
    pbx.lists["splan.list"] = {"3": {"name": "Plan"}}
    pbx.lists["splan.rates"] = {"5": {"outbound": "0.02", "call_rating": "60/60"}}
    return pbx


def vendor_of(kind: str) -> Vendor:
    """The connection that has this list."""
    name, _, what = kind.partition(" ")
    if name == "pbxware":
        pbx = a_pbx()
        return Vendor(lambda path, query: pbx.response(query), name, lambda p, q: q["action"] == f"pbxware.{what}")
    if name == "sipcentric":
        account = SipAccount(
            endpoints=[endpoint(1), endpoint(2, 104)],
            phonenumbers=[{"uri": "https://x/customers/25/phonenumbers/7", "number": "02079460123"}],
            callbundles=sip_sample("sipcentric_callbundles")["items"],
        )
        return Vendor(account.response, name, lambda path, query: path == f"customers/25/{what}")
    vps = VpsAccount()
    vps.invoice(1, status="Unpaid")
    vps.services = [{"id": "301", "name": "Linux VPS", "total": "10.00", "billingcycle": "Monthly"}]
    return Vendor(vps.response, name, lambda path, query: path == {"services": "service"}.get(what, what))


# Each list with the table that is made of it.
LISTS = {
    "pbxware did.list": "extension",
    "pbxware trunk.list": "extension",
    "pbxware department.list": "department",
    "pbxware tenant.configuration": "account",
    "pbxware splan.list": "service_plan_rate",
    "pbxware splan.rates": "service_plan_rate",
    "sipcentric endpoints": "extension",
    "sipcentric phonenumbers": "extension",
    "sipcentric callbundles": "bundle",
    "sipcentric creditstatus": "balance",
    "time4vps services": "service",
    "time4vps balance": "balance",
}


def facts(from_: Source, table: str) -> list[str]:
    """The rows of a table but for where they are landed; ``fetched_at`` still says when they were really read."""
    where = {"raw_file", "raw_row"} | ({"fetched_at"} if table == "account" else set())
    return sorted(repr({name: cell for name, cell in each.items() if name not in where}) for each in rows(from_, table))


def rebuilt(from_: Source, *days: Any) -> dict[str, str]:
    """Core made again from the landings alone: lists, and call records of the days."""
    from_.lake.core.clear([from_.name])
    update_partition(from_, lists_of(from_)[0], None)
    for day in days:
        update_partition(from_, pbxware.CDR_STREAM, day)
    return hashes(from_.lake.data_dir / "core")


@pytest.mark.parametrize(
    ("kind", "instead"),
    [(kind, "500") for kind in LISTS]
    + [(kind, each) for kind in ("pbxware did.list", "sipcentric endpoints", "time4vps balance") for each in ANY],
)
def test_a_list_that_was_given_before_stays_and_that_is_said(kind: str, instead: str, tmp_path: Path) -> None:
    """Two nights in a row, and a rebuild says the same; then the vendor gives the list again."""
    said, requests, because = ANY[instead]
    vendor, table, what = vendor_of(kind), LISTS[kind], kind.partition(" ")[2]
    assert vendor.outcome(tmp_path).failures == []
    from_ = vendor.source(tmp_path)
    known = facts(from_, table)
    assert known
    vendor.trouble(said)
    for _ in range(2):
        outcome = vendor.outcome(tmp_path)
        assert outcome.failures == []
        (warning,) = outcome.warnings
        assert warning.startswith(what)
        assert because in warning
        assert warning.endswith("stays")
        assert "does not give" not in warning
        assert from_.lake.loads.all()[-1]["warnings"] == warning
        assert facts(from_, table) == known
    # The second night a list that answered 500 is asked for once: ten tries the night before were in vain.
    assert vendor.asked == (requests + 1 if instead == "500" else 2 * requests)
    core = hashes(from_.lake.data_dir / "core")
    assert rebuilt(from_) == core
    vendor.trouble(None, times=0)
    outcome = vendor.outcome(tmp_path)
    assert (outcome.failures, outcome.warnings) == ([], [])


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("kind", "instead"),
    [("pbxware did.list", each) for each in ("page", "notice", "empty", "cut", "500")]
    + [("pbxware ext.list", "notice"), ("sipcentric endpoints", "page"), ("time4vps invoice", "empty")],
)
def test_what_is_garbled_now_and_then_is_asked_for_again(kind: str, instead: str, times: int, tmp_path: Path) -> None:
    vendor, undisturbed = vendor_of(kind), vendor_of(kind)
    undisturbed.outcome(tmp_path / "undisturbed")
    vendor.trouble(ANY[instead][0], times)
    outcome = vendor.outcome(tmp_path / "troubled")
    assert (outcome.failures, outcome.warnings) == ([], [])
    assert vendor.asked == times + 1
    for table in ("extension", "department", "invoice", "balance"):
        found = [
            rows(each.source(tmp_path / name), table)
            for each, name in ((vendor, "troubled"), (undisturbed, "undisturbed"))
        ]
        times_apart = {"fetched_at", "raw_file"}
        plain = [[{n: c for n, c in each.items() if n not in times_apart} for each in one] for one in found]
        assert plain[0] == plain[1]


@pytest.mark.parametrize("instead", ["page", "500", "null"])
@pytest.mark.parametrize(
    "kind", ["pbxware tenant.list", "pbxware ext.list", "sipcentric customers", "time4vps invoice"]
)
def test_a_list_that_there_must_be_fails_and_what_was_loaded_stays(kind: str, instead: str, tmp_path: Path) -> None:
    vendor = vendor_of(kind)
    if kind == "sipcentric customers":
        vendor._hides = lambda path, query: path == "customers"
    vendor.outcome(tmp_path)
    from_ = vendor.source(tmp_path)
    core = hashes(tmp_path / "core")
    vendor.trouble(ANY[instead][0])
    outcome = vendor.outcome(tmp_path)
    (failure,) = outcome.failures
    assert isinstance(failure, TransientError if instead == "500" else ContractError)
    assert str(failure).count("what the lists said on ") == 1
    assert [each.generation for each in outcome.known] == [
        from_.lake.raw.newest_list(from_.name, lists_of(from_)[0].name).generation
    ]
    assert hashes(tmp_path / "core") == core
    assert len(from_.lake.raw.landings(from_.name, lists_of(from_)[0].name, None)) == 1


def test_lists_that_were_landed_and_not_understood_stand_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the newest, and calls must not be read with them."""
    vendor = vendor_of("pbxware did.list")
    vendor.outcome(tmp_path)
    vendor.trouble({"9": {"number": "442079460101", "type": "Extension", "ext": "100", "e164": "+442079460101"}})

    def not_understood(*_: Any) -> Any:
        raise ContractError("not understood")

    monkeypatch.setattr("assets.pbxware.directory.read_directory", not_understood)
    outcome = vendor.outcome(tmp_path)
    assert [str(failure) for failure in outcome.failures] == ["not understood"]
    assert outcome.known == []


@pytest.mark.parametrize("instead", ["page", "500", "null"])
@pytest.mark.parametrize("kind", ["sipcentric endpoints", "time4vps services"])
def test_a_list_of_which_nothing_is_known_must_be_understood(kind: str, instead: str, tmp_path: Path) -> None:
    vendor = vendor_of(kind)
    vendor.trouble(ANY[instead][0])
    (failure,) = vendor.outcome(tmp_path).failures
    assert isinstance(failure, TransientError if instead == "500" else ContractError)


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_that_was_never_given_is_not_offered(kind: str, tmp_path: Path) -> None:
    vendor = vendor_of(kind)
    vendor.trouble(Status(404))
    outcome = vendor.outcome(tmp_path)
    assert outcome.failures == []
    assert [warning.partition(":")[0] for warning in outcome.warnings] == [
        f"the vendor does not give {kind.partition(' ')[2]}"
        + (" of 1 account" if kind.partition(" ")[2] not in NO_ACCOUNT else "")
    ]


NO_ACCOUNT = ("trunk.list", "splan.list", "splan.rates", "services", "balance")


@pytest.mark.parametrize("instead", ["empty", "500", "error"])
def test_an_inbound_call_stays_inbound_on_a_night_without_the_numbers(instead: str, tmp_path: Path) -> None:
    """The day is read again with the lists of a night on which did.list was garbled; so is a day never read before."""
    vendor = vendor_of("pbxware did.list")
    for trouble in (None, ANY[instead][0]):
        if trouble is not None:
            vendor.trouble(trouble)
        assert vendor.outcome(tmp_path).failures == []
        from_ = vendor.source(tmp_path)
        lists = from_.lake.raw.newest_list(from_.name, "lists")
        run(
            from_,
            pbxware.CDR_STREAM,
            lambda window, from_=from_, lists=lists: pbxware.fetch_cdrs(from_, lists, window),  # type: ignore[misc]
            [DAY],
            depends_on={"lists": lists.content_generation},
        )
        (leg,) = rows(from_, "cdr")
        assert (leg["direction"], leg["extension"]) == ("inbound", "100")
    core = hashes(tmp_path / "core")
    assert rebuilt(from_, DAY) == core
    assert rows(from_, "restatement") == []


def test_a_tenant_that_is_new_has_nothing_that_could_stay(tmp_path: Path) -> None:
    """did.list is garbled on the night on which tenant 3 appears: tenant 2 keeps its DID, tenant 3 has none."""
    pbx = a_pbx()
    vendor = Vendor(lambda path, query: pbx.response(query), "pbxware", lambda p, q: q["action"] == "pbxware.did.list")
    vendor.outcome(tmp_path)
    pbx.lists["tenant.list"]["3"] = pbx.lists["tenant.list"]["2"] | {"name": "two.example.com", "tenantcode": "355"}
    vendor.trouble(Literal(""))
    outcome = vendor.outcome(tmp_path)
    assert outcome.failures == []
    kept, never = sorted(outcome.warnings)
    assert kept.startswith("did.list of 1 account cannot be read")
    assert kept.endswith("stays")
    assert never.startswith("the vendor does not give did.list of 1 account: ")
    dids = [each["account_id"] for each in rows(vendor.source(tmp_path), "extension") if each["type"] == "did"]
    assert dids == ["2"]


def test_what_is_known_of_a_balance_or_a_list_proves_nothing_tonight(tmp_path: Path) -> None:
    vps, sip = vendor_of("time4vps balance"), vendor_of("sipcentric endpoints")
    for vendor, check, others in ((vps, "unpaid_balance", set()), (sip, "total_items", {"matched"})):
        folder = tmp_path / check
        vendor.outcome(folder)
        assert statuses(vendor.source(folder))[check] == {"matched"}
        vendor.trouble(Literal("<html>"))
        vendor.outcome(folder)
        assert statuses(vendor.source(folder))[check] == {"unavailable"} | others


def test_no_list_of_the_landing_before_is_read_where_all_are_given(tmp_path: Path) -> None:
    """A damaged landing keeps nobody from loading the lists anew; where its list is needed, it is told."""
    vendor = vendor_of("sipcentric endpoints")
    vendor.outcome(tmp_path)
    (file,) = (tmp_path / "raw").rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    vendor.trouble(Literal("<html>"))
    (failure,) = vendor.outcome(tmp_path).failures
    assert failure.kind == "IntegrityError"
    assert "checksum" in str(failure)


def test_the_landing_says_what_was_not_given_and_holds_what_stays_as_it_was_read(tmp_path: Path) -> None:
    vendor = vendor_of("pbxware trunk.list")
    vendor.outcome(tmp_path)
    vendor.trouble(Status(404))
    vendor.outcome(tmp_path)
    from_ = vendor.source(tmp_path)
    first, second = (from_.lake.raw.responses(each) for each in from_.lake.raw.landings(from_.name, "lists", None))
    given = next(each for each in first if each["kind"] == "trunk.list")
    at = next(n for n, each in enumerate(second) if each["kind"] == "refused")
    said = json.loads(second[at]["request"])
    assert said == {
        "action": "trunk.list",
        "because": "the server answered 404",
        "known_since": f"{given['fetched_at']:%Y-%m-%d %H:%M} UTC",
    }
    same = ("kind", "account_id", "request", "fetched_at", "rows", "body")
    assert [second[at + 1][name] for name in same] == [given[name] for name in same]
