"""Telephone numbers as people and exchanges write them, in E.164.

What lives here: reading one number in a country's way of writing, with what kind of number it is. What does not: which
numbers are ours, and what else a party's text holds (the vendor modules). Numbering plans are ``phonenumbers``'.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType, shortnumberinfo

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
# A number written with its country code is believed although it lacks an area code.
_USUAL = frozenset({phonenumbers.ValidationResult.IS_POSSIBLE})
_WRITTEN_OUT = _USUAL | {phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY}
_SHORTEST = 7  # digits; "1000" would otherwise be read as +44 1000
_LONGEST = 20
_LONGEST_EMERGENCY = 8  # digits; the longest of any country has 6
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
    digits = sum(character.isascii() and character.isdigit() for character in text)
    if not 3 <= digits <= _LONGEST or any(character.isalpha() for character in text):
        return UNREADABLE
    if digits < _SHORTEST:
        return _short(text, region)
    number = (text.startswith("00") and _dialled_abroad(text, region)) or _possible(
        "+" + text[2:] if text.startswith("00") else text, region
    )
    bare = None if number else _without_plus(text)
    number = number or bare
    if not number:
        return UNREADABLE
    kind = phonenumbers.number_type(number)
    if bare and kind == PhoneNumberType.UNKNOWN:  # it is not valid
        return UNREADABLE
    country = phonenumbers.region_code_for_number(number)
    if country is None:
        country = phonenumbers.region_code_for_country_code(number.country_code or 0)
    return Number(
        phonenumbers.format_number(number, PhoneNumberFormat.E164),
        country if country and country.isalpha() and country != "ZZ" else None,
        _TYPES.get(kind) or _nearest_type(number),
    )


def _dialled_abroad(text: str, region: str) -> phonenumbers.PhoneNumber | None:
    """A number after the region's own prefix for calls abroad, which can be longer than 00 (0011 in Australia)."""
    try:
        number = phonenumbers.parse(text, region, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        return None
    dialled = number.country_code_source == phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_IDD
    if not dialled or phonenumbers.is_possible_number_with_reason(number) not in _WRITTEN_OUT:
        return None
    return number


def _possible(text: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    usual = _WRITTEN_OUT if text[0] == "+" else _USUAL
    return number if phonenumbers.is_possible_number_with_reason(number) in usual else None


def _without_plus(text: str) -> phonenumbers.PhoneNumber | None:
    """A number with its country code and no plus, as carriers hand over (33142685300); believed only if it is valid."""
    if not (text.isascii() and text.isdigit()) or text[0] == "0":
        return None
    try:
        return phonenumbers.parse(f"+{text}")
    except phonenumbers.NumberParseException:
        return None


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


def _nearest_type(number: phonenumbers.PhoneNumber) -> str:
    """The kind of a number in a block that is not assigned: that of the nearest block that is."""
    digits = phonenumbers.national_significant_number(number)
    return _type_of_block(number.country_code or 0, digits[:-2], len(digits))


@lru_cache(maxsize=20_000)
def _type_of_block(country_code: int, block: str, length: int) -> str:
    for kept in range(len(block), 2, -1):
        for fill in "012345":
            near = int(block[:kept] + fill * (length - kept))
            number = phonenumbers.PhoneNumber(country_code=country_code, national_number=near)
            known = _TYPES.get(phonenumbers.number_type(number))
            if known is not None:
                return known
    return "unknown"


def _short(text: str, region: str) -> Number:
    if not (text.isascii() and text.isdigit()):
        return UNREADABLE
    return Number(None, region, "emergency" if is_emergency(text, region) else "short")
