"""Numbers and parties: who stands in a From or a To."""

from dataclasses import replace
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.pbxware.directory import Tenant
from assets.pbxware.parties import read_party
from assets.phone import (
    UNREADABLE,
    dialled_number,
    is_emergency,
    is_public_short,
    is_withheld,
    read_number,
    region_of_calling_code,
)


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


@pytest.mark.parametrize(
    ("text", "region", "country"),
    [
        # Germany dials 0 before national numbers; of these none begins so, and each is valid as +…
        ("442079460123", "DE", "GB"),
        ("33142685300", "DE", "FR"),
        ("4721234567", "DE", "NO"),  # also valid as 04721 234567
        ("41443643524", "DE", "CH"),  # also valid as 04144 3643524
        ("12025550123", "DE", "US"),  # as a German number merely possible
        ("31201234567", "DE", "NL"),
        ("4721234567", "GB", "NO"),
        ("6561234567", "GB", "SG"),
        ("04721234567", "DE", "DE"),  # the 0 is there
        ("3023125012", "DE", "DE"),  # 030 23125012 without its 0: +30 has no such number
        ("2025550123", "US", "US"),  # America dials ten digits bare
        ("12025550123", "US", "US"),
        ("4752345678", "US", "US"),  # as +47 52345678 it would be Norwegian
        ("912345678", "ES", "ES"),  # Spain has no prefix: nine digits are the whole number
        ("442079460123", "ES", "GB"),
        ("13912345678", "CN", "CN"),  # mobiles in China go without the 0
        ("4951234567", "RU", "RU"),  # in Russia the 8 may be left out; as +49 51234567 it would be German
        ("0612345678", "IT", "IT"),  # here the 0 is part of the number
        ("91234567", "NO", "NO"),
        ("9004721234567", "GB", None),  # +90 and a 0: with its calling code no number keeps its trunk prefix
    ],
)
def test_the_valid_reading_wins_and_a_national_one_needs_its_prefix(
    text: str, region: str, country: str | None
) -> None:
    assert read_number(text, region).country == country


@given(data=st.data())
def test_any_countrys_number_is_read_in_every_way_of_writing_it(data: st.DataObject) -> None:
    """With a plus, behind 00, and bare wherever it could not be dialled so at home."""
    of, home = (data.draw(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS))) for _ in range(2))
    kind = data.draw(st.sampled_from([phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE]))
    example = phonenumbers.example_number_for_type(of, kind)
    if example is None or not phonenumbers.is_valid_number(example):
        return
    e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    digits = e164.removeprefix("+")
    assert read_number(e164, home).e164 == e164
    assert read_number(f"00{digits}", "GB").e164 == e164
    if not digits.startswith("0"):
        assert read_number(digits, "GB").e164 == e164
        assert read_number(digits, "DE").e164 == e164
    if len(digits) < 14:  # dialled too far: the calling code still counts
        longer = read_number(f"00{digits}1", "GB")
        assert (longer.e164, longer.country is None) == (f"{e164}1", not phonenumbers.region_code_for_number(example))


@pytest.mark.parametrize(
    ("text", "region", "e164", "country"),
    [
        ("+5215512345678", "GB", "+5215512345678", "MX"),  # until 2019 mobiles had a 1 after 52
        ("005215512345678", "GB", "+5215512345678", "MX"),
        ("0022507081234", "GB", "+22507081234", "CI"),  # eight digits until 2021
        ("+22997123456", "GB", "+22997123456", "BJ"),  # eight digits until 2024
        ("+4721234567890", "GB", "+4721234567890", "NO"),
        ("0015555550123456", "GB", "+15555550123456", "US"),
        ("+18765551234567", "GB", "+18765551234567", "JM"),  # of +1 the area code tells
        ("+1876555", "GB", "+1876555", "JM"),
        ("01118765551234567", "US", "+18765551234567", "JM"),
        ("+14165550123456", "GB", "+14165550123456", "CA"),
        ("+77012345678901", "GB", "+77012345678901", "KZ"),
        ("+441481123456789", "FR", "+441481123456789", "GG"),
        ("+881612345678901", "GB", "+881612345678901", None),
        ("0088161234567899", "GB", "+88161234567899", None),
        ("001188161234567899", "AU", "+88161234567899", None),
        ("00" + "49" + "1" * 25, "GB", "+49" + "1" * 13, "DE"),  # fifteen digits are all that an exchange reads
    ],
)
def test_whatever_the_length_the_calling_code_counts(text: str, region: str, e164: str, country: str | None) -> None:
    assert read_number(text, region)[:2] == (e164, country)


@pytest.mark.parametrize(
    ("text", "region", "kind"),
    [
        ("118118", "GB", "premium"),
        ("11880", "DE", "premium"),
        ("118712", "FR", "premium"),
        ("11850", "IE", "premium"),
        ("118877", "AT", "premium"),
        ("1254", "IT", "premium"),
        ("892424", "IT", "premium"),  # six digits, and no area
        ("11818", "ES", "premium"),
        ("1811", "CH", "premium"),
        ("1207", "BE", "premium"),
        ("1888", "NL", "premium"),
        ("1881", "NO", "premium"),
        ("118118", "SE", "premium"),
        ("411", "US", "premium"),
        ("118", "IT", "emergency"),  # an ambulance
        ("118", "CH", "emergency"),  # the fire brigade
        ("116123", "GB", "toll_free"),
        ("1013", "FR", "short"),
        ("101", "GB", "short"),
        ("08451234567", "GB", "shared_cost"),
        ("08441234567", "GB", "shared_cost"),
        ("08701234567", "GB", "shared_cost"),
        ("08712345678", "GB", "premium"),
        ("09098790123", "GB", "premium"),
        ("03331234567", "GB", "uan"),
        ("018012345678", "DE", "shared_cost"),
        ("09001123456", "DE", "premium"),
        ("0810123456", "FR", "shared_cost"),
        ("0899123456", "FR", "premium"),
        ("131234", "AU", "shared_cost"),
        ("1900123456", "AU", "premium"),
        ("0840123456", "CH", "shared_cost"),
    ],
)
def test_the_kind_is_that_of_the_price(text: str, region: str, kind: str) -> None:
    assert read_number(text, region).type == kind


DIALLED = [
    ("*67004721234567", "GB", "", "004721234567"),
    ("*6702079460123", "GB", "", "02079460123"),
    ("*672025550123", "US", "", "2025550123"),
    ("*8212025550123", "US", "", "12025550123"),
    ("11672025550123", "US", "", "2025550123"),
    ("101032112025550123", "US", "", "12025550123"),
    ("#31#00881612345678", "GB", "", "00881612345678"),
    ("*31#09098790123", "GB", "", "09098790123"),
    ("*31*0302312501", "DE", "", "0302312501"),
    ("*12302079460123", "GB", "", "02079460123"),  # a code of three digits
    ("*65*442079460100*00881612345670", "GB", "", "00881612345670"),
    ("*67+4721234567", "GB", "", "+4721234567"),
    ("*670088161234567899", "GB", "", "0088161234567899"),  # of a length that there is not
    ("#31#999", "GB", "", "999"),
    ("*67118118", "GB", "", "118118"),
    ("14109098790123", "GB", "", "09098790123"),
    ("1470004721234567", "GB", "", "004721234567"),
    ("141118118", "GB", "", "118118"),
    ("14102079460123", "IE", "", "02079460123"),
    ("18310298765432", "AU", "", "0298765432"),
    ("067912345678", "ES", "", "912345678"),
    ("36510142685300", "FR", "", "0142685300"),
    ("1840312345678", "JP", "", "0312345678"),
    ("13321234567", "HK", "", "21234567"),
    ("135721234567", "HK", "", "21234567"),
    ("128002079460123", "GB", "", "02079460123"),
    ("1280004721234567", "GB", "", "004721234567"),
    ("0197093091234", "NZ", "", "093091234"),
    ("0196006421345678", "NZ", "", "006421345678"),
    ("010130302312501", "DE", "", "0302312501"),
    # A code alone, a code before what is no number, and numbers that only begin like a code.
    ("*67", "GB", "", "*67"),
    ("*97", "GB", "", "*97"),
    ("*88101", "GB", "", "*88101"),
    ("*123999", "GB", "", "*123999"),
    ("*#06#", "GB", "", "*#06#"),
    ("*21*02079460123#", "GB", "", "*21*02079460123#"),
    ("1412", "GB", "", "1412"),
    ("14102074601", "GB", "", "14102074601"),  # Baltimore, with its calling code
    ("14102079460123", "US", "", "14102079460123"),
    ("902079460123", "GB", "9", "02079460123"),
    ("907700900123", "GB", "9", "07700900123"),
    ("9004721234567", "GB", "9", "004721234567"),
    ("9999", "GB", "9", "999"),
    ("9112", "GB", "9", "112"),
    ("9118118", "GB", "9", "118118"),
    ("914102079460123", "GB", "9", "02079460123"),
    ("*67902079460123", "GB", "9", "02079460123"),
    ("#31#902079460123", "GB", "9", "02079460123"),
    ("912025550123", "US", "9", "12025550123"),
    ("92025550123", "US", "9", "2025550123"),
    ("9911", "US", "9", "911"),
    ("9912345678", "ES", "9", "912345678"),
    ("0015228817386", "DE", "0", "015228817386"),
    ("003023125012", "DE", "0", "03023125012"),
    ("00017139200", "DE", "0", "0017139200"),
    ("0110", "DE", "0", "110"),
    ("0004721234567", "DE", "0", "004721234567"),
    # What has no digit for an outside line before it.
    ("999", "GB", "9", "999"),
    ("911", "US", "9", "911"),
    ("+919876543210", "GB", "9", "+919876543210"),
    ("919876543210", "GB", "9", "919876543210"),
    ("442079460123", "GB", "9", "442079460123"),
    ("03023125012", "DE", "0", "03023125012"),
    ("015228817386", "DE", "0", "015228817386"),
    ("0612345678", "IT", "0", "0612345678"),
    ("91234567", "NO", "9", "91234567"),
    ("912345678", "ES", "9", "912345678"),
]


@pytest.mark.parametrize(("text", "region", "outside_line", "number"), DIALLED)
def test_the_number_that_dialled_digits_reach(text: str, region: str, outside_line: str, number: str) -> None:
    assert dialled_number(text, region, outside_line) == number


@given(
    code=st.sampled_from(
        ["*67", "*82", "#31#", "*31#", "*31*", "*65*442079460100*", "141", "1470", "9", "9141", "*679"]
    ),
    prefix=st.sampled_from(["0", "00", "+"]),
    data=st.data(),
)
def test_a_code_before_any_number_leaves_the_number(code: str, prefix: str, data: st.DataObject) -> None:
    regions = ["GB"] if prefix == "0" else ["NO", "US", "IN", "LV", "JM"]
    example = phonenumbers.example_number(data.draw(st.sampled_from(regions)))
    assert example is not None
    e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    number = prefix + (str(example.national_number) if prefix == "0" else e164.removeprefix("+"))
    reached = dialled_number(code + number, "GB", "9")
    assert (reached, read_number(reached, "GB").e164) == (number, e164)


@given(text=st.text(alphabet="*#+0123456789", max_size=24), region=st.sampled_from(["GB", "US", "DE", "ES", "ZZ"]))
def test_nothing_dialled_upsets_the_reader(text: str, region: str) -> None:
    assert text.endswith(dialled_number(text, region, "9"))


def test_public_short_numbers_are_told_from_extensions() -> None:
    assert all(is_public_short(text, "GB") for text in ("999", "112", "101", "111", "116123", "118118", "100"))
    assert not any(is_public_short(text, "GB") for text in ("107", "600", "333", "400", "1412", "2001", "60000", ""))
    assert all(is_public_short(text, "US") for text in ("911", "411"))
    assert not any(is_public_short(text, "US") for text in ("101", "2001", "5000", "12345"))
    assert not is_public_short("3200", "FR")  # dear where it is public, but as good as an extension


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


@pytest.mark.parametrize(
    ("text", "kind", "extension", "e164", "type_"),
    [
        ("*67004721234567", "outside", None, "+4721234567", "fixed"),
        ("Bo (*67004721234567)", "outside", None, "+4721234567", "fixed"),
        ("*6702079460100", "did", "100", "+442079460100", "fixed"),
        ("*67100", "feature", None, None, "unknown"),  # an extension of ours behind it
        ("*67344100", "feature", None, None, "unknown"),
        ("*67112", "feature", None, None, "unknown"),  # 112 is one of ours
        ("*67999", "outside", None, None, "emergency"),
        ("902079460123", "outside", None, "+442079460123", "fixed"),
        ("902079460100", "did", "100", "+442079460100", "fixed"),
        ("9112", "outside", None, None, "emergency"),  # on an outside line, whatever our 112 is
        ("9100", "outside", None, None, "short"),
        ("111", "outside", None, None, "short"),  # public, and no extension that is listed
        ("112", "own", "112", None, "unknown"),
        ("107", "own", "107", None, "unknown"),
        ("601", "own", "601", None, "unknown"),
    ],
)
def test_what_is_called(text: str, kind: str, extension: str | None, e164: str | None, type_: str) -> None:
    party = read_party(text, replace(TENANT, outside_line="9"), CODES, called=True)
    assert (party.kind, party.extension, party.public.e164, party.public.type) == (kind, extension, e164, type_)


def test_who_calls_dialled_nothing() -> None:
    """A caller's number has no digit for an outside line, and no caller is a public short number."""
    tenant = replace(TENANT, outside_line="9")
    assert read_party("902079460123", tenant, CODES).public == UNREADABLE
    assert read_party("111", tenant, CODES).kind == "own"


@pytest.mark.parametrize("dialled", ["9999", "9112"])
def test_an_emergency_on_an_outside_line_is_no_extension_of_four_digits(dialled: str) -> None:
    tenant = replace(TENANT, digits=4, outside_line="9")
    assert read_party(dialled, tenant, CODES, called=True).public.type == "emergency"


@given(text=st.text(max_size=40))
def test_no_party_upsets_the_reader(text: str) -> None:
    party = read_party(text, TENANT, CODES)
    assert party.kind in {"own", "did", "feature", "withheld", "outside"}
    assert (party.number is None) == (party.kind == "withheld")
    assert party.extension is None or party.kind in {"own", "did"}
