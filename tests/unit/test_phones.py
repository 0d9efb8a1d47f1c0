"""The short way of reading phone numbers beside the library's own."""

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberType

from polyport.kinds import phones
from polyport.kinds.phones import e164_of


def by_the_library(text, region=None):
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def examples():
    """A number of every kind of every country, and of every code that is no country's."""
    kinds = [value for name, value in vars(PhoneNumberType).items() if name.isupper() and isinstance(value, int)]
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in kinds:
            yield phonenumbers.example_number_for_type(region, kind)
    for code in phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS:
        yield phonenumbers.example_number_for_non_geo_entity(code)


def test_every_kind_of_number_of_every_country_is_read_as_the_library_reads_it_and_most_of_them_at_once():
    written = [
        phonenumbers.format_number(number, form)
        for number in examples()
        if number is not None
        for form in (phonenumbers.PhoneNumberFormat.E164, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    ]
    assert len(written) > 2_000
    assert [text for text in written if e164_of(text, None) != by_the_library(text)] == []
    assert sum(phones._plain(text) is not None for text in written) > len(written) * 0.7


@given(
    code=st.sampled_from(sorted(COUNTRY_CODE_TO_REGION_CODE)),
    rest=st.text("0123456789 .()-/x#*", max_size=18),
    region=st.sampled_from([None, "GB", "US", "CA", "IT"]),
)
@example(code=44, rest=" (0)20 7946 0000", region=None)
@example(code=39, rest=" 06 1234 5678", region="IT")
@example(code=1, rest="1 202 555 0101", region="CA")
@example(code=7, rest="8 495 123 45 67", region=None)
@example(code=54, rest="9 11 1234 5678", region=None)
@example(code=999, rest="12345678", region=None)
def test_whatever_follows_a_code_is_read_as_the_library_reads_it(code, rest, region):
    text = f"+{code}{rest}"
    assert e164_of(text, region) == by_the_library(text, region)


@pytest.mark.parametrize("text", ["+", "+0", "+999 1234567", "020 7946 0000", "+1", "", "+44 20 7946 0000 ext. 5"])
def test_what_is_not_in_plain_international_writing_is_left_to_the_library(text):
    assert phones._plain(text) is None
    assert e164_of(text, "GB") == by_the_library(text, "GB")


def test_a_code_without_tables_is_left_to_the_library(monkeypatch):
    monkeypatch.setattr(PhoneMetadata, "metadata_for_region_or_calling_code", lambda *_: None)
    phones._numbering.cache_clear()
    try:
        assert phones._plain("+442079460000") is None
    finally:
        phones._numbering.cache_clear()
