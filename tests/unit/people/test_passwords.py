import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from app.people import passwords

PASSWORD = "a few plain words"


@pytest.fixture(scope="module")
def stored():
    return passwords.hashed(PASSWORD)


def test_a_password_is_stored_as_argon2id(stored):
    assert extract_parameters(stored).type is Type.ID
    assert PASSWORD not in stored


def test_only_the_right_password_matches(stored):
    assert passwords.matches(stored, PASSWORD)
    assert not passwords.matches(stored, PASSWORD.upper())


def test_letters_match_however_the_keyboard_composes_them():
    assert passwords.matches(passwords.hashed("käse und brot"), "ka\u0308se und brot")


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_account_without_a_password_matches_nothing(nothing):
    assert not passwords.matches(nothing, PASSWORD)
    assert not passwords.matches(nothing, "")


def test_an_account_without_a_password_is_checked_with_the_same_work(stored, monkeypatch):
    checked = []
    verify = PasswordHasher.verify

    def watched(self, against, password):
        checked.append(extract_parameters(against))
        return verify(self, against, password)

    monkeypatch.setattr(PasswordHasher, "verify", watched)
    passwords.matches(stored, "wrong")
    passwords.matches(None, "wrong")

    assert checked[0] == checked[1]


def test_a_damaged_hash_matches_nothing():
    assert not passwords.matches("$argon2id$damaged", PASSWORD)


def test_a_hash_of_other_parameters_is_outdated(stored):
    weaker = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)

    assert passwords.is_outdated(weaker)
    assert not passwords.is_outdated(stored)
