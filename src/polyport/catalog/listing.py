"""How partners and operations are shown, and what lists of them can be asked for."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from polyport.catalog.search import mark_of
from polyport.catalog.words import line_of
from polyport.errors import Fault, ValidationFailed
from polyport.manifest.budgets import shown
from polyport.manifest.levels import file_of
from polyport.manifest.model import Action, Partner, Trigger
from polyport.store.catalogue import OperationRow, Ordered, PartnerRow
from polyport.store.rows import After

Operation = Action | Trigger
Item = dict[str, Any]

DESCRIPTION_WORDS: Final = 60
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_NUMBER: Final = b'{"partnerId":'
_NO_LOGO: Final = b'"logo":null'
_BUDGETS: Final = b',"budgets":['
_FLAGS: Final = frozenset({"deprecated", "isAction"})
_SORTS: Final = {"title": "title_key", "partnerId": "partner_id", "triggerActionId": "operation_id"}
PARTNER_FILTERS: Final = (
    ("title", "eq"),
    ("title", "like"),
    ("partnerId", "eq"),
    ("deprecated", "eq"),
    ("slug", "eq"),
    ("slug", "like"),
    ("category", "eq"),
    ("authType", "eq"),
    ("kind", "eq"),
    ("verified", "eq"),
)
FACETS: Final = frozenset(
    {"category", "authType", "kind", "verified"}
)  # of partners: what one may have several of, or what is written in its item alone
OPERATION_FILTERS: Final = (
    ("partnerId", "eq"),
    ("isAction", "eq"),
    ("title", "eq"),
    ("title", "like"),
    ("deprecated", "eq"),
    ("kind", "eq"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list of the catalogue is asked for. ``filters`` maps (field, operator) to the value; operators are ``eq`` and ``like``.

    ``ready``: items are wanted as JSON that is ready to be sent: that is nearly what the index holds.
    """

    filters: Mapping[tuple[str, str], str] = field(default_factory=dict)
    sort: str | None = None
    page: int = 1
    per_page: int = 20
    by_cursor: bool = False
    after: After | None = None
    ready: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list and how many there are in all. ``following`` is after which place the next one begins, for a list that is read by cursor.

    ``items`` are objects, or JSON as it is sent (``msgspec.Raw``) where that was asked for.
    """

    items: Sequence[Any]
    page: int
    per_page: int
    total: int
    following: After | None = None


def auth_types(partner: Partner) -> list[str]:
    """The kinds of authorisation a partner's connections may have."""
    spec = partner.file.connection
    return list(dict.fromkeys(choice.scheme.kind for choice in spec.auth)) if spec is not None else []


def partner_row(partner: Partner, owner: int | None) -> PartnerRow:
    """A partner as the index keeps it. Its item has no logo: that depends on where this server is reached."""
    file = partner.file
    deprecated = file.status == "deprecated"
    spec = file.connection
    item = {
        "partnerId": file.id,
        "title": file.title,
        "titleEn": file.titles.get("en", file.title),
        "titles": {"en": file.title} | file.titles,
        "description": file.description,
        "descriptionEn": file.description,
        "logo": _logo(partner),
        "deprecated": deprecated,
        "deprecation": _deprecation(partner),
        "region": list(file.region),
        "slug": file.slug,
        "categories": list(file.categories),
        "authTypes": auth_types(partner),
        "actionsCount": len(partner.actions),
        "triggersCount": len(partner.triggers),
        "verified": {"how": file.verified.how, "on": file.verified.on.isoformat()},
        "own": owner is not None,
        "budgets": [shown(budget) for budget in file.budgets],  # the last: ``ready_partner`` cuts it off
    }
    lines = (
        line_of(file.title, *file.titles.values()),
        line_of(file.slug),
        line_of(*file.categories),
        line_of(file.description, most=DESCRIPTION_WORDS),
        _marks(owner, partner_id=file.id, deprecated=deprecated),
    )
    return PartnerRow(
        partner_id=file.id,
        owner=owner,
        slug=file.slug,
        title_key=file.title.casefold(),
        deprecated=deprecated,
        signs_in=spec is not None and any(choice.scheme.by_link_only for choice in spec.auth),
        facets="".join(f"\n{facet}\n" for facet in _facets(partner)),
        digest=partner.digest,
        words="\n".join(lines),
        item=_ENCODER.encode(item),
    )


def ready_partner(content: bytes, origin: str) -> msgspec.Raw:
    """A partner's item as lists show it, ready to be sent: with its logo and without its budgets.

    It is made of the JSON itself. In a text of it no quotation mark stands without a backslash before it, so that what is looked for here is a key.
    """
    found = content[: content.rindex(_BUDGETS)] + b"}"
    if _NO_LOGO in found:
        number = found[len(_NUMBER) : found.index(b",")].decode()
        found = found.replace(_NO_LOGO, b'"logo":' + _ENCODER.encode(logo_of(number, origin)), 1)
    return msgspec.Raw(found)


def logo_of(partner_id: int | str, origin: str) -> Item:
    """Where the logo of a partner that everybody sees is to be had."""
    logo = f"{origin}/partners/{partner_id}/logo.svg"
    return {"100x100": logo, "original": logo}


def _facets(partner: Partner) -> list[str]:
    told = {
        "category": partner.file.categories,
        "authType": auth_types(partner),
        "kind": dict.fromkeys(operation.kind for operation in partner.operations),
        "verified": (partner.file.verified.how,),
    }
    return [_facet(name, value) for name, values in told.items() for value in values]


def _facet(name: str, value: str) -> str:
    return f"{name}={value.casefold()}"


def icon_address(partner: Partner, origin: str) -> str:
    """Where a partner's icon is to be had. That of an account's own partner is in the address itself: at another, others could learn that there is one."""
    if partner.file.version is not None and partner.icon is not None:
        return f"data:image/svg+xml;base64,{base64.b64encode(partner.icon.encode()).decode()}"
    return f"{origin}/partners/{partner.file.id}/logo.svg"


def _logo(partner: Partner) -> Item | None:
    if partner.file.version is None:
        return None
    inside = icon_address(partner, "")
    return {"100x100": inside, "original": inside}


def _deprecation(partner: Partner) -> Item | None:
    told = partner.file.deprecation
    return {"message": told.message, "on": told.on.isoformat() if told.on is not None else None} if told is not None else None


def operation_row(partner: Partner, operation: Operation, owner: int | None) -> OperationRow:
    """An operation as the index keeps it."""
    deprecated = operation.deprecated or partner.file.status == "deprecated"
    is_action = isinstance(operation, Action)
    item = {
        "triggerActionId": operation.id,
        "partnerId": partner.file.id,
        "name": operation.name,
        "title": operation.title,
        "description": operation.description,
        "descriptionEn": operation.description,
        "isAction": is_action,
        "deprecated": deprecated,
        "kind": operation.kind,
        "isRunnable": operation.kind != "webhookTrigger",
        "readOnly": operation.read_only,
        "idempotent": operation.idempotent,
        "destructive": operation.destructive,
        "version": partner.digest[:12],
    }
    lines = (
        line_of(operation.title),
        line_of(operation.name),
        line_of(partner.file.title, partner.file.slug),
        line_of(operation.description, most=DESCRIPTION_WORDS),
        _marks(owner, partner_id=partner.file.id, deprecated=deprecated, is_action=is_action, kind=operation.kind),
    )
    return OperationRow(
        operation_id=operation.id,
        partner_id=partner.file.id,
        owner=owner,
        is_action=is_action,
        deprecated=deprecated,
        kind=operation.kind,
        title_key=operation.title.casefold(),
        document=file_of(operation),
        words="\n".join(lines),
        item=_ENCODER.encode(item),
    )


def _marks(owner: int | None, **columns: object) -> str:
    marks = [mark_of(column, value) for column, value in columns.items()]
    if owner is not None:
        marks += ["private", mark_of("owner", owner)]
    return " ".join(marks)


def placing(wanted: Wanted, kind: str) -> tuple[type, ...]:
    """The types of what places an item in a list: what is searched is placed by its rank. Raises ``ValidationFailed`` as ``understand`` does."""
    ordered, question = understand(wanted, kind)
    return (int,) if question is not None else tuple(str if column == "title_key" else int for column in ordered.columns(kind))


def understand(wanted: Wanted, kind: str) -> tuple[Ordered, str | None]:
    """What a list is asked for, as the index is asked, and the words that are searched. Raises ``ValidationFailed`` with every fault."""
    known = PARTNER_FILTERS if kind == "partner" else OPERATION_FILTERS
    faults: list[Fault] = []
    equal: dict[str, int | str] = {}
    told: dict[str, str] = {}
    facets: list[str] = []
    question: str | None = None
    for (name, operator), value in wanted.filters.items():
        if (name, operator) == ("q", "eq"):
            question = value
        elif (name, operator) not in known:
            there = ", ".join(sorted(f"filter[{key}]" + ("" if how == "eq" else f"[{how}]") for key, how in known))
            faults.append(Fault(path=f"filter[{name}]", code="unknown_filter", message=f"There is no such filter; there are: {there}."))
        elif name in _FLAGS and value not in {"0", "1", "true", "false"}:
            faults.append(Fault(path=f"filter[{name}]", code="wrong_type", message="This filter takes 0 or 1."))
        elif operator == "like":
            told["like" if name == "title" else "slug_like"] = value.casefold()
        elif name in FACETS and kind == "partner":
            facets.append(_facet(name, value))
        else:
            equal[_COLUMNS[name]] = _value(name, value)
    key = wanted.sort.removeprefix("-") if wanted.sort is not None else "partnerId"
    if key not in _SORTS or (kind == "partner" and key == "triggerActionId"):
        faults.append(Fault(path="sort", code="unknown_sort", message="Lists of the catalogue are sorted by title or -title."))
    if faults:
        raise ValidationFailed.of(*faults)
    reverse = wanted.sort is not None and wanted.sort.startswith("-")
    return Ordered(equal=equal, sort=_SORTS[key], reverse=reverse, sorted=wanted.sort is not None, facets=tuple(facets), **told), question


_COLUMNS: Final = {
    "title": "title_key",
    "partnerId": "partner_id",
    "deprecated": "deprecated",
    "isAction": "is_action",
    "slug": "slug",
    "kind": "kind",
}


def _value(name: str, value: str) -> int | str:
    if name in _FLAGS:
        return int(value in {"1", "true"})
    if name == "partnerId":
        return int(value) if value.isascii() and value.isdecimal() and len(value) <= 16 and str(int(value)) == value else 0
    return value.casefold() if name == "title" else value
