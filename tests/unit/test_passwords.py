"""Passwords and tokens."""

import hashlib
import re
import statistics
import time

import pytest
from argon2 import PasswordHasher

from polyport.errors import ValidationFailed
from polyport.passwords import TokenPrefix, digest, hash_password, matches, needs_rehash, new_token, verify_password

PASSWORD = "correct horse battery staple"
HASH = hash_password(PASSWORD)


def test_the_right_password_is_accepted():
    assert verify_password(HASH, PASSWORD) is True


@pytest.mark.parametrize("wrong", ["", "Correct horse battery staple", PASSWORD + " ", "x" * 1025, "\ud800"])
def test_a_wrong_password_is_refused(wrong):
    assert verify_password(HASH, wrong) is False


def test_nobody_has_no_password():
    assert verify_password(None, PASSWORD) is False
    assert verify_password(None, "") is False


def test_an_unreadable_hash_matches_nothing():
    assert verify_password("md5$abc", PASSWORD) is False
    assert verify_password("", PASSWORD) is False


def test_an_unknown_user_takes_as_long_as_a_wrong_password():
    def spent(password_hash):
        start = time.process_time()
        verify_password(password_hash, "wrong")
        return time.process_time() - start

    pairs = [(spent(None), spent(HASH)) for _ in range(9)]
    ratio = statistics.median(nobody for nobody, _ in pairs) / statistics.median(somebody for _, somebody in pairs)
    assert 0.5 < ratio < 2


def test_the_hash_is_argon2id_and_salted():
    assert re.match(r"\$argon2id\$v=19\$m=24576,t=3,p=1\$", HASH)
    assert hash_password(PASSWORD) != HASH


@pytest.mark.parametrize("text", ["x", "x" * 1024, "пароль", "\ud800", "a\0b"])
def test_any_text_of_1_to_1024_characters_is_a_password(text):
    assert verify_password(hash_password(text), text)


def test_how_a_keyboard_composes_letters_makes_no_difference():
    assert verify_password(hash_password("caf\u00e9"), "cafe\u0301")


@pytest.mark.parametrize(("text", "code"), [("", "required"), ("x" * 1025, "too_long")])
def test_a_password_of_another_length_is_a_fault_at_its_path(text, code):
    with pytest.raises(ValidationFailed) as caught:
        hash_password(text, path="newPassword")
    assert [(fault.path, fault.code) for fault in caught.value.details.fields] == [("newPassword", code)]


def test_a_hash_with_other_parameters_is_to_be_made_again():
    assert needs_rehash(PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD))
    assert not needs_rehash(HASH)


@pytest.mark.parametrize("prefix", TokenPrefix)
def test_a_token_is_43_random_characters_behind_its_prefix(prefix):
    text, hashed = new_token(prefix)
    assert re.fullmatch(rf"{prefix}[A-Za-z0-9_-]{{43}}", text)
    assert hashed == digest(text) == hashlib.sha256(text.encode()).digest()
    assert new_token(prefix)[0] != text


def test_a_token_matches_its_own_digest_only():
    text, hashed = new_token(TokenPrefix.API_KEY)
    assert matches(text, hashed)
    assert not matches(text + "x", hashed)
    assert not matches("\ud800", hashed)
