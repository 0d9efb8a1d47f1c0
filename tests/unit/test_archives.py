"""A partner's folder as one archive."""

from petshop import imported, pets
from polyport.manifest.archives import folder_in, pack
from polyport.manifest.load import load_partner


def test_a_folder_in_an_archive_is_read_like_any_other() -> None:
    files = imported(pets()).files
    loaded = load_partner(folder_in(pack(files), "pets"))

    assert loaded.problems == ()
    assert loaded.folder == "pets/"
    assert loaded.partner is not None
    assert {action.name for action in loaded.partner.actions} == {"list_pets", "create_pet", "delete_pet"}
    assert loaded.partner.icon == files["icon.svg"]


def test_the_same_files_make_the_same_archive() -> None:
    files = imported(pets()).files
    assert pack(files) == pack(dict(reversed(files.items())))
    assert pack(files) != pack({**files, "notes.md": "other"})
