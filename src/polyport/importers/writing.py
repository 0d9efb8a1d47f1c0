"""A partner's folder on disk: YAML in the language's plain subset, written so that a second import writes the same bytes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from polyport.importers.partner import Built
from polyport.manifest.writing import yaml_text

ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><rect width="100" height="100" rx="20" fill="hsl({hue} 45% 40%)"/>'
    '<text x="50" y="68" font-family="sans-serif" font-size="52" text-anchor="middle" fill="#fff">{letter}</text></svg>\n'
)


def folder_files(built: Built, extra: Mapping[str, str]) -> dict[str, str]:
    """The files of the folder by their names; ``extra`` are those that no part of the language describes (notes, report)."""
    found = {"partner.yaml": yaml_text(built.partner), **extra}
    for kind, parts in (("actions", built.actions), ("triggers", built.triggers), ("lists", built.lists)):
        found |= {f"{kind}/{name}.yaml": yaml_text(part) for name, part in parts.items()}
    title, number = str(built.partner["title"]), int(built.partner["id"])
    letter = next((char.upper() for char in title if char.isascii() and char.isalnum()), "A")
    found["icon.svg"] = ICON.format(hue=number % 360, letter=letter)
    return found


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Put a folder in place, whole or not at all: it is written beside its place, then the two change places.

    What a person added to the folder that stood there (cases, an icon of their own, quality.yaml) stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, text in files.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        if folder.is_dir():
            _keep_own(folder, draft, files)
            before = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            folder.rename(before / "before")
            draft.rename(folder)
            shutil.rmtree(before)
        else:
            draft.rename(folder)
        folder.chmod(0o755)
    finally:
        if draft.exists():
            shutil.rmtree(draft)


def _keep_own(folder: Path, draft: Path, files: Mapping[str, str]) -> None:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        made = name.split("/", 1)[0] in {"actions", "triggers", "lists"}
        if path.is_file() and not path.is_symlink() and not made and (name not in files or name == "icon.svg"):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, draft / name)
