"""A partner's folder as one archive."""

from petshop import imported, pets
from polyport.manifest.archives import pack, unpack
from polyport.manifest.disk import Files
from polyport.manifest.load import load_partner


def test_a_folder_comes_out_of_an_archive_as_it_went_in() -> None:
    files = imported(pets()).files
    found = unpack(pack(files))
    loaded = load_partner(Files("pets", found))

    assert {name: text.encode() for name, text in files.items()} == found
    assert loaded.problems == ()
    assert loaded.partner is not None


def test_the_same_files_make_the_same_archive() -> None:
    files = imported(pets()).files
    assert pack(files) == pack(dict(reversed(files.items())))
    assert pack(files) != pack({**files, "notes.md": "other"})
