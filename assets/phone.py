"""Telephone numbers as people and exchanges write them, in E.164.

What lives here: reading one number in a country's way of writing, with what kind of number it is, and which number is
reached by dialled digits that begin with a code. What does not: which numbers are ours, and what else a party's text
holds (each vendor's ``parties``). Numbering plans and the prices of short numbers are those of ``phonenumbers``; the
tables here are where national plans say more.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import CountryCodeSource, PhoneNumber, PhoneNumberType, ValidationResult, shortnumberinfo

# Numbers of a hundred countries have more patterns than Python keeps compiled by itself.
phonenumbers.enable_pattern_cache()

_TYPES = {
    PhoneNumberType.FIXED_LINE: "fixed",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "fixed_or_mobile",
    PhoneNumberType.TOLL_FREE: "toll_free",
    PhoneNumberType.PREMIUM_RATE: "premium",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "uan",
    PhoneNumberType.VOICEMAIL: "voicemail",
}
_SHORTEST = 7  # digits; "1000" would otherwise be read as +44 1000
_LONGEST = 20  # unless written with its calling code
_MOST_PARSED = 17  # digits behind a plus or 00, of which ``phonenumbers`` reads no more
_LONGEST_E164 = 15  # digits; what is dialled after them no exchange reads
_LONGEST_EMERGENCY = 8  # digits; the longest of any country has 6
_NANP = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]
# By calling code, how numbers begin that phonenumbers files as premium and the plan does not: 084 and 0870 cost at most
# 7 and 13 pence a minute (Ofcom, National Telephone Numbering Plan, A1); premium-rate rules begin at 0871.
_SHARED_COST = {44: ("84", "870")}
# Directory enquiries, of which phonenumbers has no price. European plans share 118 for them (Ofcom 118XXX,
# Bundesnetzagentur 118xy, ComReg 118XX, RTR 118); others have numbers of their own.
_DIRECTORY = {
    region: numbers
    for numbers, regions in (
        ("118[0-9]{0,3}", "AT BG CY CZ DE DK EE ES FI FR GB GG GR HR HU IE IM IS JE LT LU LV MT PL PT RO SE SI SK"),
        ("18[0-9]{2}", "NL NO"),
        ("1[23][0-9]{2}", "BE"),
        ("411", " ".join(_NANP)),
    )
    for region in regions.split()
}
# Short numbers that phonenumbers files as premium and the plan does not: an operator's own services (ARCEP, 10XY).
_NOT_PREMIUM = {"FR": "10[0-9]{2}"}
# Codes of digits alone that are dialled before a number, for one call: to withhold or show the caller's own number (141
# and 1470 in Britain, 3651 in France, 133 and 1357 in Hong Kong, 0197 and 0196 in New Zealand), or to choose a carrier
# (010xy in Germany, 101xxxx in America, in Britain 1280 for that of the line).
_CODES = {
    **dict.fromkeys(("GB", "GG", "IM", "JE"), "141|1470|1280"),
    **dict.fromkeys(_NANP, "1167|1182|101[0-9]{4}"),
    "AU": "183[12]",
    "DE": "010(?:0[0-9]{2}|[1-9][0-9])",
    "ES": "067",
    "FR": "3651",
    "HK": "133|1357",
    "IE": "14[12]",
    "JP": "18[46]",
    "NZ": "019[67]",
}
# Codes after a star or hash that stand before any number, a short one too: *67 and *31 withhold, *82 and #31 show the
# caller's number, *65 sets it. Of other codes neither length nor meaning is known: a PBX has its own.
_BEFORE_ANY = frozenset({"31", "65", "67", "82"})
_SERVICES = re.compile("1[0-9]{2,5}|[2-9]11")  # public short numbers, as plans all over the world have them
_PRICES = {
    shortnumberinfo.ShortNumberCost.PREMIUM_RATE: "premium",
    shortnumberinfo.ShortNumberCost.TOLL_FREE: "toll_free",
}
# Numbers for which there is no area, so that they may be as short as an extension: 131234 in Australia.
_WITHOUT_AREA = frozenset({PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST, PhoneNumberType.TOLL_FREE})
_CODE_LENGTHS = (2, 3, 4, 1)  # of a code that no star or hash ends; the usual one first
_WITHHELD = frozenset(
    {"", "anonymous", "unknown", "withheld", "private", "restricted", "unavailable", "asterisk", "no number", "s"}
)


class Number(NamedTuple):
    """E.164 (None: not a public number), ISO 3166 country (None: worldwide or unknown), kind of number."""

    e164: str | None
    country: str | None
    type: str


UNREADABLE = Number(None, None, "unknown")
_ERASED = re.compile("erased-(none|[A-Z]{2})-([a-z_]+)")


def erased(number: Number) -> str:
    """What stands for a number that was erased: of what it was, only country and kind, and those only if it was public.

    ``read_number`` reads them back.
    """
    return f"erased-{number.country or 'none'}-{number.type}" if number.e164 else "erased"


@lru_cache(maxsize=200_000)
def read_number(text: str, region: str) -> Number:
    """Read one number as it is dialled or shown in ``region`` (ISO 3166)."""
    if known := _ERASED.fullmatch(text):
        return Number(None, None if known[1] == "none" else known[1], known[2])
    reading = _read(text, region)
    return reading.number if reading else UNREADABLE


class _Reading(NamedTuple):
    """What a number is read as. ``valid``: a numbering plan has it; else it is merely possible.

    ``written_out``: its calling code stands behind a plus or the digits for calls abroad.
    """

    number: Number
    valid: bool
    written_out: bool = False


def _read(text: str, region: str) -> _Reading | None:
    """The best reading: a valid one, else one that is possible in ``region``."""
    digits = sum(character.isascii() and character.isdigit() for character in text)
    if digits < 3 or any(character.isalpha() for character in text):
        return None
    if digits < _SHORTEST:
        return _short(text, region)
    if text.startswith(("+", "00")):
        return _written_out(text, region)
    number = _parse(text, region) if digits <= _LONGEST else None
    source = number.country_code_source if number else CountryCodeSource.FROM_DEFAULT_COUNTRY
    if number and source == CountryCodeSource.FROM_NUMBER_WITH_IDD:
        return _reading(number, phonenumbers.number_type(number), written_out=True)
    kind = phonenumbers.number_type(number) if number else PhoneNumberType.UNKNOWN
    valid = kind != PhoneNumberType.UNKNOWN
    bare = text[0] != "0" and text.isascii() and text.isdigit()
    if bare and source == CountryCodeSource.FROM_DEFAULT_COUNTRY and not (valid and _has_no_trunk_prefix(region)):
        # With its calling code and no plus, as carriers hand over: 33142685300.
        abroad = _parse(f"+{text}", region)
        if abroad and text == f"{abroad.country_code}{phonenumbers.national_significant_number(abroad)}":
            abroad_kind = phonenumbers.number_type(abroad)
            if abroad_kind != PhoneNumberType.UNKNOWN and not (valid and _is_national(text, region)):
                return _reading(abroad, abroad_kind)
    if number and (valid or phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE):
        return _reading(number, kind)
    return None


def _written_out(text: str, region: str) -> _Reading | None:
    """A number behind a plus or 00. Its calling code counts, however many digits it has: plans change, fingers slip."""
    digits = re.sub("[^0-9]", "", text)
    if len(digits) > _MOST_PARSED:
        text = f"+{digits[:_MOST_PARSED]}" if text[0] == "+" else digits[: 2 + _MOST_PARSED]
    numbers = [_parse(text, region)]
    if text.startswith("00"):
        # A region's own prefix for calls abroad can begin so and be longer: 0011 in Australia.
        if numbers[0] and numbers[0].country_code_source != CountryCodeSource.FROM_NUMBER_WITH_IDD:
            numbers = []
        numbers.append(_parse("+" + text[2:], region))
    readings = [_reading(number, phonenumbers.number_type(number), written_out=True) for number in numbers if number]
    return next((reading for reading in readings if reading.valid), readings[0]) if readings else None


def _parse(text: str, region: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        return None


@lru_cache
def _has_no_trunk_prefix(region: str) -> bool:
    """Whether numbers of a region are dialled bare at home; in America the 1 before them is the calling code itself."""
    return phonenumbers.ndd_prefix_for_region(region, True) in (None, "1")


def _is_national(text: str, region: str) -> bool:
    """Whether a number has all that its own country dials: the trunk prefix, where its plan has one."""
    prefix = phonenumbers.ndd_prefix_for_region(region, True)
    if _has_no_trunk_prefix(region) or (prefix and text.startswith(prefix)):
        return True
    return phonenumbers.PhoneNumberMatcher(text, region).has_next()  # mobiles in China go without


def _reading(number: PhoneNumber, type_: int, *, written_out: bool = False) -> _Reading:
    kind = _TYPES.get(type_)
    valid = kind is not None
    country = phonenumbers.region_code_for_number(number) if valid else None
    if kind is None:
        country, kind = _nearest(number)
    country = country or phonenumbers.region_code_for_country_code(number.country_code or 0)
    national = phonenumbers.national_significant_number(number)
    if national.startswith(_SHARED_COST.get(number.country_code or 0, ())):
        kind = "shared_cost"
    return _Reading(
        Number(
            f"+{number.country_code}{national}"[: 1 + _LONGEST_E164],
            country if country.isalpha() and country != "ZZ" else None,
            kind,
        ),
        valid,
        written_out,
    )


class Digits(NamedTuple):
    """A public number in parts: calling code and national digits, and the ISO 3166 country its writing is of."""

    calling_code: str
    national: str
    region: str


def digits_of(text: str, region: str) -> Digits | None:
    """The parts of one public number as it is written in ``region``; None where it is none."""
    e164 = read_number(text.strip(), region).e164
    if e164 is None:
        return None
    number = phonenumbers.parse(e164)
    code = number.country_code or 0
    own = phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(code)
    return Digits(str(code), phonenumbers.national_significant_number(number), own)


def outside_country(number: Number) -> str | None:
    """The country of an outside party: a short number is reached in the caller's own, and is no other party's."""
    return None if number.type in ("short", "emergency") else number.country


def is_withheld(text: str | None) -> bool:
    """Whether a party's number says that there is none."""
    return text is None or text.strip().lower() in _WITHHELD


def is_emergency(text: str, region: str) -> bool:
    """Whether ``text`` is an emergency number in ``region``."""
    if len(text) > _LONGEST_EMERGENCY:
        return False  # as nearly all are, and looking them up takes as long as reading the number
    return text.isascii() and text.isdigit() and shortnumberinfo.is_emergency_number(text, region)


def region_of_calling_code(code: str | int | None) -> str | None:
    """The main country of a calling code: 44 is GB, 1 is US; None where there is none."""
    text = str(code if code is not None else "").strip().lstrip("+0")
    if not (text.isascii() and text.isdigit()) or len(text) > 3:
        return None
    region = phonenumbers.region_code_for_country_code(int(text))
    return region if region.isalpha() and region != "ZZ" else None


def _nearest(number: PhoneNumber) -> tuple[str | None, str]:
    """Country and kind of a number that no plan has: those of the nearest block that one has."""
    digits = phonenumbers.national_significant_number(number)
    code = number.country_code or 0
    length = len(digits)
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        example = phonenumbers.example_number(phonenumbers.region_code_for_country_code(code))
        length = len(phonenumbers.national_significant_number(example)) if example else length
    return _of_block(code, digits[: min(len(digits), length) - 2], length)


@lru_cache(maxsize=20_000)
def _of_block(country_code: int, block: str, length: int) -> tuple[str | None, str]:
    for kept in range(len(block), 2, -1):
        for fill in "012345":
            near = int(block[:kept] + fill * (length - kept))
            number = PhoneNumber(country_code=country_code, national_number=near)
            known = _TYPES.get(phonenumbers.number_type(number))
            if known is not None:
                return phonenumbers.region_code_for_number(number), known
    return None, "unknown"


def _short(text: str, region: str) -> _Reading | None:
    """A number too short for one with an area code: an emergency, a service, or an extension of whoever dialled it."""
    if not (text.isascii() and text.isdigit()):
        return None
    kind = "emergency" if is_emergency(text, region) else _short_price(text, region)
    number = _parse(text, region) if kind is None else None
    type_ = phonenumbers.number_type(number) if number else PhoneNumberType.UNKNOWN
    if number and type_ in _WITHOUT_AREA:
        return _reading(number, type_)
    return _Reading(Number(None, region, kind or "short"), kind is not None)


def _short_price(text: str, region: str) -> str | None:
    if re.fullmatch(_DIRECTORY.get(region, ""), text):
        return "premium"
    if re.fullmatch(_NOT_PREMIUM.get(region, ""), text):
        return None
    return _PRICES.get(shortnumberinfo.expected_cost_for_region(_as_short(text, region), region))


def _as_short(text: str, region: str) -> PhoneNumber:
    zeros = len(text) - len(text.lstrip("0"))
    return PhoneNumber(
        country_code=phonenumbers.country_code_for_region(region),
        national_number=int(text),
        italian_leading_zero=zeros > 0,
        number_of_leading_zeros=zeros or None,
    )


def is_public_short(text: str, region: str) -> bool:
    """Whether ``text`` is a short number that every phone of ``region`` reaches: 999, 101, 116123, 118118.

    Numbers of one carrier, and those for messages, are not: they look like extensions.
    """
    if is_emergency(text, region):
        return True
    if not _SERVICES.fullmatch(text):
        return False
    number = _as_short(text, region)
    return _short_price(text, region) is not None or (
        shortnumberinfo.is_valid_short_number_for_region(number, region)
        and not shortnumberinfo.is_carrier_specific_for_region(number, region)
    )


def dialled_number(text: str, region: str, outside_line: str = "") -> str:
    """The number that dialled digits reach: what stands behind codes and the digits for an outside line.

    The text itself where no number stands behind them: a code alone, or one before an extension.
    """
    if text[:1] in ("*", "#"):
        return _behind_star(text, region, outside_line) or text
    code = re.match(_CODES.get(region, "(?!)"), text)
    for prefix in (outside_line, code[0] if code else ""):
        if prefix and text.startswith(prefix):
            rest = dialled_number(text.removeprefix(prefix), region)
            trust = _trust(rest, region)
            if trust == 4 or (trust == 3 and _trust(text, region) not in (2, 4)):
                return rest
    return text


def _behind_star(text: str, region: str, outside_line: str) -> str | None:
    """The number behind *67…, #31#… or *65*…*…; where the code ends is seen from what is then a number."""
    code, *arguments = re.split("[*#]", text.lstrip("*#"))
    ways = [(code, arguments[-1])] if arguments else [(code[:length], code[length:]) for length in _CODE_LENGTHS]
    best, most = None, 1
    for before, rest in ways:
        number = dialled_number(rest, region, outside_line)
        trust = _trust(number, region)
        if trust > most and (len(number) >= _SHORTEST or before in _BEFORE_ANY):
            best, most = number, trust
    return best


@lru_cache(maxsize=20_000)
def _trust(text: str, region: str) -> int:
    """How far digits are to be taken for a number that was dialled.

    4 valid, and with all that is dialled; 3 with all that, but merely possible; 2 valid, but without its trunk prefix;
    1 merely possible, and without it; 0 no number.
    """
    if _ERASED.fullmatch(text):
        return 4
    reading = _read(text, region)
    if reading is None:
        return 0
    if reading.number.e164 is None:
        return 4 if is_public_short(text, region) else 0
    return 1 + reading.valid + 2 * (reading.written_out or _is_national(text, region))
