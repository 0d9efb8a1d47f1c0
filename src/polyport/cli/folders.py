"""Which partners' folders a command is about: bundled ones by slug, others by their path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from polyport.errors import SetupError
from polyport.manifest.disk import Place, is_file, is_folder
from polyport.manifest.load import load_partner, partner_folders
from polyport.manifest.model import Partner
from polyport.manifest.source import Unreadable


def bundled() -> list[Place]:
    """The folders of the bundled partners."""
    return partner_folders(files("polyport").joinpath("connectors"))


def partner_folder(slug: str) -> Place:
    """The folder of a partner: a path, or a bundled slug. Raises ``SetupError`` that names what there is."""
    path = Path(slug)
    if is_file(path / "partner.yaml"):
        return path
    found = {folder.name: folder for folder in bundled()}
    if slug not in found and is_folder(path):
        return path  # what is missing in it is said like its other faults
    if slug not in found:
        raise SetupError(f'There is no partner "{slug}". Bundled: {", ".join(found)}; or give the path of a folder with a partner.yaml.')
    return found[slug]


def chosen(slugs: Sequence[str]) -> Iterator[tuple[str, Place]]:
    """The folders that a command names, each with what to call it: all bundled ones if none is named, all partners in a folder that holds some."""
    if not slugs:
        yield from ((folder.name, folder) for folder in bundled())
    for slug in slugs:
        inside = [folder for folder in _inside(Path(slug)) if is_file(folder / "partner.yaml")]
        if inside and not is_file(Path(slug) / "partner.yaml"):
            yield from ((f"{slug.rstrip('/')}/{folder.name}", folder) for folder in inside)
        else:
            yield slug, partner_folder(slug)


def neighbours(folder: Place) -> list[Partner]:
    """The partners that a server would load beside this folder: the bundled ones, and those in the same place."""
    own = str(folder if not isinstance(folder, Path) else folder.resolve())
    beside = _inside(folder.resolve().parent) if isinstance(folder, Path) else []
    found = dict(_bundled_partners())
    for place in beside:
        if str(place) not in found and is_file(place / "partner.yaml"):
            found[str(place)] = load_partner(place).partner
    return [partner for name, partner in found.items() if name != own and partner is not None]


@cache
def _bundled_partners() -> dict[str, Partner | None]:
    """The bundled partners by place, loaded once: they are the neighbours of every folder that a command looks at."""
    return {str(place): load_partner(place).partner for place in bundled()}


def _inside(root: Place) -> list[Place]:
    try:
        return partner_folders(root)
    except Unreadable:  # a folder that may not be looked into has no partners that anybody could load
        return []
