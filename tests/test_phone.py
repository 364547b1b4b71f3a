"""Numbers and parties: who stands in a From or a To."""

from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.pbxware import Tenant, read_party
from assets.phone import UNREADABLE, is_emergency, is_withheld, read_number, region_of_calling_code


@pytest.mark.parametrize(
    ("text", "region", "e164", "country", "kind"),
    [
        ("02079460123", "GB", "+442079460123", "GB", "fixed"),
        ("020 7946 0123", "GB", "+442079460123", "GB", "fixed"),
        ("+44 (0)20 7946 0123", "GB", "+442079460123", "GB", "fixed"),
        ("00442079460123", "US", "+442079460123", "GB", "fixed"),
        ("0011442079460123", "AU", "+442079460123", "GB", "fixed"),
        ("001442079460123", "HK", "+442079460123", "GB", "fixed"),  # 001 and not 00, which would make it American
        ("+442079460123", "US", "+442079460123", "GB", "fixed"),
        ("07700900123", "GB", "+447700900123", "GB", "mobile"),
        ("08081570123", "GB", "+448081570123", "GB", "toll_free"),
        ("12025550107", "US", "+12025550107", "US", "fixed_or_mobile"),
        ("2025550107", "US", "+12025550107", "US", "fixed_or_mobile"),
        ("12025550107", "GB", "+12025550107", "US", "fixed_or_mobile"),
        ("33142685300", "GB", "+33142685300", "FR", "fixed"),
        ("33142685300", "US", "+33142685300", "FR", "fixed"),
        ("999", "GB", None, "GB", "emergency"),
        ("112", "GB", None, "GB", "emergency"),
        ("911", "US", None, "US", "emergency"),
        ("60000", "GB", None, "GB", "short"),
    ],
)
def test_numbers(text: str, region: str, e164: str | None, country: str | None, kind: str) -> None:
    assert read_number(text, region) == (e164, country, kind)


def test_the_patterns_of_all_countries_stay_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python itself keeps 512; beyond a hundred countries each number took ten times as long."""
    numbers = [
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        if (number := phonenumbers.example_number(region))
    ]
    found = [read_number.__wrapped__(number, "GB") for number in numbers]
    compiled: list[Any] = []
    monkeypatch.setattr(phonenumbers.re_util.re, "compile", compiled.append)
    assert [read_number.__wrapped__(number, "GB") for number in numbers] == found
    assert len(numbers) > 200
    assert compiled == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "12",
        "anonymous",
        "Sales",
        "0123456789012345678901234",
        "+",
        "()",
        "44 0",
        "10a0",
        "٠٢٠٧٩٤٦٠١٢٣",
        "+99999999999",
        "33142685",
        "15550100123",
        "99912345678",
    ],
)
def test_what_is_not_a_number_is_nobody(text: str) -> None:
    assert read_number(text, "GB").e164 is None


def test_an_extension_is_never_read_as_a_public_number() -> None:
    """A bare 1000 parses to +44 1000."""
    assert all(read_number(text, "GB").e164 is None for text in ("100", "1000", "20000", "300000", "+441000", "00441"))


@given(text=st.text(max_size=60), region=st.sampled_from(["GB", "US", "LT", "ZZ", ""]))
def test_no_text_upsets_the_reader(text: str, region: str) -> None:
    number = read_number(text, region)
    assert number.e164 is None or (number.e164[0] == "+" and number.e164[1:].isdigit() and len(number.e164) <= 16)
    assert number.country is None or len(number.country) == 2


@pytest.mark.parametrize("text", [None, "", "  ", "anonymous", "Anonymous", "UNKNOWN", "withheld", "Private"])
def test_withheld(text: str | None) -> None:
    assert is_withheld(text)


def test_a_number_or_a_name_is_not_withheld() -> None:
    assert not is_withheld("02079460123")
    assert not is_withheld("Sales")


def test_emergency_numbers_are_of_their_country() -> None:
    assert is_emergency("999", "GB")
    assert not is_emergency("999", "US")
    assert not is_emergency("٩٩٩", "GB")
    assert not is_emergency("", "GB")


@pytest.mark.parametrize(
    ("code", "region"),
    [
        ("44", "GB"),
        (44, "GB"),
        ("+1", "US"),
        ("0044", "GB"),
        ("370", "LT"),
        ("", None),
        (None, None),
        ("x", None),
        ("999", None),
    ],
)
def test_regions_of_calling_codes(code: str | int | None, region: str | None) -> None:
    assert region_of_calling_code(code) == region


# --- parties of a PBXware --------------------------------------------------------------------------------------------

TENANT = Tenant(
    "2",
    "one.example.com",
    "344",
    "GB",
    "EUR",
    3,
    extensions={"100": "Ada Quill", "112": "Front Desk"},
    dids={"442079460100": "100", "+442079460100": "100", "+442079460199": None},
)
CODES = frozenset({"344", "999", "454"})


@pytest.mark.parametrize(
    ("text", "kind", "name", "number", "extension"),
    [
        ("Ada Quill (100)", "own", "Ada Quill", "100", "100"),
        ("100", "own", None, "100", "100"),
        ("(100)", "own", None, "100", "100"),
        ("  Ada Quill (100)  ", "own", "Ada Quill", "100", "100"),
        ("344100", "own", None, "344100", "100"),
        ("344+100", "own", None, "344+100", "100"),
        ("Ada Quill (344100)", "own", "Ada Quill", "344100", "100"),
        ("107", "own", None, "107", "107"),  # not in the list any more, but of the form
        ("344107", "own", None, "344107", "107"),
        ("Ring Group 600 Voicemail (1100)", "own", "Ring Group 600 Voicemail", "1100", "1100"),
        ("Sales (600)", "own", "Sales", "600", "600"),
        ("112", "own", None, "112", "112"),  # an extension of this tenant, whatever it means elsewhere
        ("999", "outside", None, "999", None),  # an emergency number, though another tenant's code
        ("Help (999)", "outside", "Help", "999", None),
        ("*97", "feature", None, "*97", None),
        ("Voicemail (*97)", "feature", "Voicemail", "*97", None),
        ("#9", "feature", None, "#9", None),
        ("anonymous", "withheld", None, None, None),
        ("Anonymous (anonymous)", "withheld", "Anonymous", None, None),
        ("", "withheld", None, None, None),
        ("Nobody ()", "withheld", "Nobody", None, None),
        ("442079460100", "did", None, "442079460100", "100"),
        ("+442079460100", "did", None, "+442079460100", "100"),
        ("02079460100", "did", None, "02079460100", "100"),
        ("Main Line (02079460199)", "did", "Main Line", "02079460199", None),
        ("02079460123", "outside", None, "02079460123", None),
        ("Müller (Köln) (02079460123)", "outside", "Müller (Köln)", "02079460123", None),
        ('O\'Hara, "Bill" (07700900123)', "outside", 'O\'Hara, "Bill"', "07700900123", None),
        ("Иван Петров (07700900123)", "outside", "Иван Петров", "07700900123", None),
        ("岡本 (100)", "own", "岡本", "100", "100"),
        ("Ada Quill <100>", "own", "Ada Quill", "100", "100"),
        ("<02079460123>", "outside", None, "02079460123", None),
        ("454200", "outside", None, "454200", None),  # another tenant's extension
        ("454+200", "outside", None, "454+200", None),
    ],
)
def test_parties(text: str, kind: str, name: str | None, number: str | None, extension: str | None) -> None:
    party = read_party(text, TENANT, CODES)
    assert (party.kind, party.name, party.number, party.extension) == (kind, name, number, extension)


def test_another_tenants_extension_has_no_public_number() -> None:
    """454200 could be read as a number of the region; it is not one."""
    assert read_party("4542001", TENANT, CODES).public == UNREADABLE
    assert read_party("Bo Reed (454200)", TENANT, CODES).public == UNREADABLE


def test_emergency_calls_are_told_as_such() -> None:
    for codes in (CODES, frozenset({"9", "99"})):
        assert read_party("999", TENANT, codes).public.type == "emergency"


@given(text=st.text(max_size=40))
def test_no_party_upsets_the_reader(text: str) -> None:
    party = read_party(text, TENANT, CODES)
    assert party.kind in {"own", "did", "feature", "withheld", "outside"}
    assert (party.number is None) == (party.kind == "withheld")
    assert party.extension is None or party.kind in {"own", "did"}
