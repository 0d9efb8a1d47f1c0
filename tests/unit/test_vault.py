"""The vault: what is sealed opens in its own place only."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.errors import SetupError
from polyport.vault import Keyring, Tampered, UnknownKey, Vault, VaultFault, key_id_of

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
OLD_TEXT, NEW_TEXT = (base64.b64encode(key).decode() for key in (OLD, NEW))
SCOPE = "account/7/connection/12"
VAULT = Vault(Keyring(OLD))
WRAPPED = VAULT.new_key(SCOPE)
BOX = VAULT.box(SCOPE, WRAPPED)

bits = st.tuples(st.integers(0, 10_000), st.integers(0, 7))


def flipped(data, place):
    changed = bytearray(data)
    changed[place[0] % len(data)] ^= 1 << place[1]
    return bytes(changed)


@given(st.binary(max_size=2000), st.text(min_size=1))
def test_a_sealed_value_opens_to_what_it_was(plaintext, context):
    assert BOX.open(BOX.seal(plaintext, context), context) == plaintext


@given(st.binary(max_size=200), bits)
def test_a_sealed_value_with_one_flipped_bit_is_refused(plaintext, place):
    sealed = BOX.seal(plaintext, "fields")
    with pytest.raises(Tampered):
        BOX.open(flipped(sealed, place), "fields")


@given(bits)
def test_a_wrapped_key_with_one_flipped_bit_is_refused(place):
    with pytest.raises(VaultFault):
        VAULT.box(SCOPE, flipped(WRAPPED, place))


def test_a_wrapped_key_whose_id_is_changed_to_another_on_the_ring_is_refused():
    vault = Vault(Keyring(OLD, NEW))
    wrapped = bytearray(WRAPPED)
    wrapped[1:9] = bytes.fromhex(Keyring(NEW).ids[0])
    with pytest.raises(Tampered):
        vault.box(SCOPE, bytes(wrapped))


@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_refused_as_a_fault_of_the_vault(data):
    with pytest.raises(VaultFault):
        BOX.open(data, "fields")
    with pytest.raises(VaultFault):
        VAULT.box(SCOPE, data)


@pytest.mark.parametrize("length", [0, 1, 12, 28, 30, 40])
def test_a_truncated_value_is_refused(length):
    sealed = BOX.seal(b"x" * 20, "fields")
    with pytest.raises(Tampered):
        BOX.open(sealed[:length], "fields")


def test_a_truncated_key_is_refused():
    with pytest.raises(Tampered):
        VAULT.box(SCOPE, WRAPPED[:-1])


def test_an_unknown_version_is_refused():
    with pytest.raises(Tampered):
        BOX.open(b"\x02" + BOX.seal(b"x", "fields")[1:], "fields")
    with pytest.raises(Tampered):
        VAULT.box(SCOPE, b"\x02" + WRAPPED[1:])


@given(st.text(min_size=1))
def test_a_value_does_not_open_in_another_context(context):
    with pytest.raises(Tampered):
        BOX.open(BOX.seal(b"x", context), context + "x")


@given(st.text(min_size=1).filter(lambda scope: scope != SCOPE))
def test_a_key_does_not_open_in_another_scope(scope):
    with pytest.raises(Tampered):
        VAULT.box(scope, WRAPPED)


def test_where_the_scope_ends_and_the_context_begins_is_part_of_the_binding():
    # The same data key under two scopes, as a careless copy would make it: only the border between the names differs.
    key = b"k" * 32
    ring = Keyring(OLD)
    one, other = (Vault(ring).box(scope, ring.wrap(scope.encode(), key)) for scope in ("account/1", "account/12"))
    with pytest.raises(Tampered):
        other.open(one.seal(b"x", "2/fields"), "/fields")


@pytest.mark.parametrize(
    "use", [lambda: VAULT.new_key(""), lambda: VAULT.box("", WRAPPED), lambda: BOX.seal(b"x", ""), lambda: VAULT.rewrap("", WRAPPED)]
)
def test_an_empty_name_binds_to_nothing_and_is_refused(use):
    with pytest.raises(ValueError, match="is needed"):
        use()


def test_the_same_value_is_sealed_differently_each_time():
    assert BOX.seal(b"x", "fields") != BOX.seal(b"x", "fields")


def test_a_missing_master_key_is_named_by_its_id():
    with pytest.raises(UnknownKey, match=Keyring(OLD).ids[0]) as caught:
        Vault(Keyring(NEW)).box(SCOPE, WRAPPED)
    assert caught.value.key_id == Keyring(OLD).ids[0] == key_id_of(WRAPPED)


def test_after_rotation_the_new_key_alone_opens_what_the_old_one_sealed():
    sealed = BOX.seal(b"value", "fields")
    rewrapped = Vault(Keyring(NEW, OLD)).rewrap(SCOPE, WRAPPED)
    assert Vault(Keyring(NEW)).box(SCOPE, rewrapped).open(sealed, "fields") == b"value"


def test_rewrapping_under_the_same_key_changes_nothing():
    assert VAULT.rewrap(SCOPE, WRAPPED) is WRAPPED


def test_rewrapping_keeps_the_binding():
    with pytest.raises(Tampered):
        Vault(Keyring(NEW, OLD)).rewrap("account/8", WRAPPED)


def test_a_box_is_unwrapped_once_and_reused():
    vault = Vault(Keyring(OLD))
    assert vault.box(SCOPE, WRAPPED) is vault.box(SCOPE, WRAPPED)


def test_only_the_boxes_used_last_are_kept():
    vault = Vault(Keyring(OLD), cached=2)
    keys = {scope: vault.new_key(scope) for scope in ("a", "b", "c")}
    a, b = vault.box("a", keys["a"]), vault.box("b", keys["b"])
    vault.box("a", keys["a"])
    vault.box("c", keys["c"])
    assert vault.box("a", keys["a"]) is a
    assert vault.box("b", keys["b"]) is not b


def test_forgetting_a_scope_forgets_what_is_below_it_and_nothing_else():
    vault = Vault(Keyring(OLD))
    keys = {scope: vault.new_key(scope) for scope in ("account/7", "account/7/connection/1", "account/77")}
    before = {scope: vault.box(scope, key) for scope, key in keys.items()}
    vault.forget("account/7")
    kept = {scope for scope, key in keys.items() if vault.box(scope, key) is before[scope]}
    assert kept == {"account/77"}


def test_reprs_show_nothing():
    assert (repr(Keyring(OLD)), repr(VAULT), repr(BOX)) == ("<Keyring>", "<Vault>", "<Box>")


@pytest.mark.parametrize("text", [OLD_TEXT, OLD_TEXT.rstrip("="), f" {OLD_TEXT}\n"])
def test_a_key_is_read_with_or_without_padding_and_spaces(text):
    assert Keyring.parse(text).ids == Keyring(OLD).ids


def test_a_key_is_read_from_either_alphabet():
    key = b"\xfb\xff" * 16
    assert (
        Keyring.parse(base64.b64encode(key).decode()).ids == Keyring.parse(base64.urlsafe_b64encode(key).decode()).ids == Keyring(key).ids
    )


def test_the_first_key_of_several_seals_and_all_open():
    ring = Keyring.parse(f"{NEW_TEXT}, {OLD_TEXT}")
    assert ring.ids == Keyring(NEW).ids + Keyring(OLD).ids
    assert key_id_of(Vault(ring).new_key(SCOPE)) == ring.ids[0]
    assert Vault(ring).box(SCOPE, WRAPPED).open(BOX.seal(b"x", "c"), "c") == b"x"


@pytest.mark.parametrize("bad", ["", "c2hvcnRzZWNyZXQ=", "not base64 at all!", "ключ", OLD_TEXT[:-2], OLD_TEXT + "AAAA", "a" * 41])
def test_a_bad_key_is_refused_with_the_way_to_make_one_and_without_its_value(bad):
    with pytest.raises(SetupError, match="openssl rand -base64 32") as caught:
        Keyring.parse(f"{NEW_TEXT},{bad}")
    assert "key 2" in str(caught.value)
    assert not bad or bad not in str(caught.value)
    assert NEW_TEXT not in str(caught.value)


def test_a_key_given_twice_is_refused_without_its_value():
    with pytest.raises(SetupError, match="twice") as caught:
        Keyring.parse(f"{OLD_TEXT},{OLD_TEXT.rstrip('=')}")
    assert OLD_TEXT.rstrip("=") not in str(caught.value)


def test_a_ring_needs_keys_of_32_bytes():
    with pytest.raises(SetupError, match="no master key"):
        Keyring()
    with pytest.raises(SetupError, match="not 32 bytes"):
        Keyring(b"short")


def test_another_key_of_the_ring_can_be_put_in_front_and_all_still_open():
    ring = Keyring(NEW, OLD).led_by(Keyring(OLD).ids[0])
    assert ring.ids == Keyring(OLD, NEW).ids
    assert key_id_of(Vault(ring).new_key(SCOPE)) == Keyring(OLD).ids[0]
    assert Vault(ring).box(SCOPE, WRAPPED).open(BOX.seal(b"x", "c"), "c") == b"x"
    with pytest.raises(UnknownKey):
        Keyring(NEW).led_by(Keyring(OLD).ids[0])


def test_a_vault_seals_with_the_key_it_is_told_once_that_one_is_on_the_ring():
    news = [None, Keyring(OLD, NEW)]
    vault = Vault(Keyring(OLD), news=lambda: news.pop(0))
    vault.seal_with(Keyring(NEW).ids[0])
    assert vault.key_ids == Keyring(OLD).ids
    vault.follow()
    assert vault.key_ids == Keyring(OLD).ids
    assert key_id_of(vault.new_key(SCOPE)) == Keyring(NEW).ids[0]
    assert vault.key_ids == Keyring(NEW, OLD).ids


def test_a_key_that_came_into_the_file_meanwhile_is_looked_for_before_a_data_key_is_given_up():
    vault = Vault(Keyring(NEW), news=lambda: Keyring(NEW, OLD))
    assert vault.box(SCOPE, WRAPPED).open(BOX.seal(b"x", "c"), "c") == b"x"
    again = Vault(Keyring(NEW), news=lambda: Keyring(NEW, OLD))
    assert key_id_of(again.rewrap(SCOPE, WRAPPED)) == Keyring(NEW).ids[0]
    with pytest.raises(UnknownKey):
        Vault(Keyring(NEW), news=lambda: None).box(SCOPE, WRAPPED)


def test_a_vault_without_a_file_stays_with_its_keys():
    vault = Vault(Keyring(OLD))
    vault.follow()
    assert vault.key_ids == Keyring(OLD).ids
