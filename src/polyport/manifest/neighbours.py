"""What partners that stand beside each other may not share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from polyport.manifest.levels import file_of
from polyport.manifest.model import Partner


def clashes(partner: Partner, others: Iterable[Partner]) -> Iterator[tuple[str, str, str]]:
    """What a partner has in common with another one and may not: file, key and sentence."""
    for other in others:
        for key, shared in (("id", partner.file.id == other.file.id), ("slug", partner.file.slug == other.file.slug)):
            if shared:
                yield "partner.yaml", key, f'The partner "{other.file.slug}" ({other.file.title}) has the same {key}; choose another one.'
        taken = {operation.id: operation.name for operation in other.operations}
        for operation in partner.operations:
            if operation.id in taken:
                message = f'The operation "{taken[operation.id]}" of "{other.file.slug}" has the same id; choose another one.'
                yield file_of(operation), "id", message
