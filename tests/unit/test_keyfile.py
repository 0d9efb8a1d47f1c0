"""The key file: made once, for its owner alone; read again when it changed; never seen half."""

import base64
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from polyport.errors import SetupError
from polyport.keyfile import KEY_FILE, KeyFile, new_master_key
from polyport.vault import Keyring

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
OLD_TEXT, NEW_TEXT = (base64.b64encode(key).decode() for key in (OLD, NEW))


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path):
    data = tmp_path / "var"
    ring = KeyFile(data).open()
    assert KeyFile(data).open().ids == ring.ids
    assert [path.name for path in data.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((data / KEY_FILE).stat().st_mode) == 0o600


def test_those_who_make_the_key_file_at_the_same_moment_get_the_same_key(tmp_path):
    for attempt in range(20):
        data = tmp_path / str(attempt)
        gate = threading.Barrier(8)

        def enter(_, gate=gate, data=data):
            gate.wait()
            return KeyFile(data).open().ids

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(enter, range(8)))) == 1
        assert [path.name for path in data.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_key_file_that_others_can_reach_is_refused(tmp_path, mode):
    KeyFile(tmp_path).open()
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(SetupError, match="chmod 600"):
        KeyFile(tmp_path).open()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"c2hvcnQ="])
def test_a_spoilt_key_file_is_named_and_not_replaced(tmp_path, content):
    path = tmp_path / KEY_FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SetupError, match=KEY_FILE):
        KeyFile(tmp_path).open()
    assert path.read_bytes() == content


def test_a_key_file_may_hold_several_keys(tmp_path):
    handle = os.open(tmp_path / KEY_FILE, os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(handle, f"{NEW_TEXT},{OLD_TEXT}\n".encode())
    os.close(handle)
    assert KeyFile(tmp_path).open().ids == Keyring(NEW, OLD).ids


def test_a_data_folder_that_cannot_be_one_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be used"):
        KeyFile(tmp_path / "file" / "var").open()


def test_a_key_is_added_at_the_end_and_taken_out_by_its_id(tmp_path):
    file = KeyFile(tmp_path)
    [first] = file.open().ids
    second = file.add()
    assert KeyFile(tmp_path).read().ids == (first, second)
    file.remove(first)
    assert KeyFile(tmp_path).read().ids == (second,)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_the_last_key_stays(tmp_path):
    file = KeyFile(tmp_path)
    [first] = file.open().ids
    with pytest.raises(SetupError, match="the only one"):
        file.remove(first)
    assert file.read().ids == (first,)


def test_another_process_hears_of_a_change_once(tmp_path):
    file, other = KeyFile(tmp_path), KeyFile(tmp_path)
    first = file.open().ids[0]
    other.open()
    assert other.news() is None
    second = file.add()
    assert other.news().ids == (first, second)
    assert other.news() is None


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_text("nothing"), lambda path: path.chmod(0o644)])
def test_a_file_that_cannot_be_read_any_more_is_said_and_taken_up_again_once_it_can(tmp_path, spoil):
    file = KeyFile(tmp_path)
    ids, text = file.open().ids, file.path.read_text()
    spoil(file.path)
    assert file.news() is None
    assert KEY_FILE in file.trouble
    assert text.strip() not in file.trouble
    file.path.write_text(text)
    file.path.chmod(0o600)
    assert file.news().ids == ids
    assert file.trouble is None


def test_a_change_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file = KeyFile(tmp_path)
    ids = file.open().ids

    def refused(_from, _to):
        raise PermissionError(13, "Permission denied")

    # Tests may run as root, whom no mode of a folder keeps out: the refusal is put in the place of the call.
    monkeypatch.setattr("pathlib.Path.replace", refused)
    with pytest.raises(SetupError, match="cannot be used: Permission denied"):
        file.add()
    assert file.read().ids == ids
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_change_by_root_leaves_the_file_with_its_owner(tmp_path):
    file = KeyFile(tmp_path)
    file.open()
    os.chown(file.path, 4321, 4322)
    file.add()
    assert (file.path.stat().st_uid, file.path.stat().st_gid) == (4321, 4322)


def test_a_fresh_key_is_one_that_a_ring_takes():
    assert len(Keyring.parse(f"{new_master_key()},{new_master_key()}").ids) == 2


def test_a_file_that_vanished_is_said(tmp_path):
    with pytest.raises(SetupError, match="cannot be used: No such file"):
        KeyFile(tmp_path).read()
