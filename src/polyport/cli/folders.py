"""Which partners' folders a command is about: bundled ones by slug, others by their path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from polyport.errors import SetupError
from polyport.manifest.load import load_partner, partner_folders
from polyport.manifest.model import Partner

Place = Traversable | Path


def bundled() -> list[Place]:
    """The folders of the bundled partners."""
    return partner_folders(files("polyport").joinpath("connectors"))


def partner_folder(slug: str) -> Place:
    """The folder of a partner: a path, or a bundled slug. Raises ``SetupError`` that names what there is."""
    path = Path(slug)
    if (path / "partner.yaml").is_file():
        return path
    found = {folder.name: folder for folder in bundled()}
    if slug not in found:
        raise SetupError(f'There is no partner "{slug}". Bundled: {", ".join(found)}; or give the path of a folder with a partner.yaml.')
    return found[slug]


def chosen(slugs: Sequence[str]) -> Iterator[tuple[str, Place]]:
    """The folders that a command names, each with what to call it: all bundled ones if none is named, all partners in a folder that holds some."""
    if not slugs:
        yield from ((folder.name, folder) for folder in bundled())
    for slug in slugs:
        inside = [folder for folder in partner_folders(Path(slug)) if (folder / "partner.yaml").is_file()]
        if inside and not (Path(slug) / "partner.yaml").is_file():
            yield from ((f"{slug.rstrip('/')}/{folder.name}", folder) for folder in inside)
        else:
            yield slug, partner_folder(slug)


def neighbours(folder: Place) -> list[Partner]:
    """The partners that a server would load beside this folder: the bundled ones, and those in the same place."""
    own = str(folder if not isinstance(folder, Path) else folder.resolve())
    beside = partner_folders(folder.resolve().parent) if isinstance(folder, Path) else []
    places = {str(place): place for place in (*bundled(), *(each for each in beside if (each / "partner.yaml").is_file()))}
    return [partner for name, place in places.items() if name != own and (partner := load_partner(place).partner) is not None]
