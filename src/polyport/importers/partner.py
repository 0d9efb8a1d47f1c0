"""The whole way: a document becomes the files of a partner's folder, and a report of what is not in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

from polyport.importers.access import Access, read_access
from polyport.importers.calls import CallMaker, Made, Unsayable
from polyport.importers.described import Endpoint, Left, Service
from polyport.importers.discovery import read_discovery
from polyport.importers.documents import Refused, clean_text
from polyport.importers.links import add_lists
from polyport.importers.markup import Markup
from polyport.importers.names import FIRST_OPERATION, Naming, operation_id, operation_name, operation_title, partner_id, unique
from polyport.importers.openapi import OpenApi
from polyport.importers.outputs import Outputs
from polyport.importers.questions import Asking, ask_base, ask_hosts, at_server, leave_out_hosts
from polyport.importers.references import ReadFile, References, no_files
from polyport.importers.swagger import read_swagger
from polyport.importers.triggers import add_triggers
from polyport.importers.views import Views
from polyport.manifest.model import Action

TITLE_LONGEST: Final = 200
_HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_INSIDE: Final = '{{answer | from_object | first | at: "value"}}'  # of XML: what stands in the outermost element, however that is called
_READING: Final = ("search", "query", "list", "find", "lookup", "filter", "count", "validate", "preview", "calculate")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an import is asked for. ``base`` replaces the servers; ``kept_ids`` are ids of an earlier import, by method and path.

    New ids are told by the ``seed`` (in its place the slug), from ``first_id`` on. ``hosts`` are those that may be called beside the partner's own, ``None``
    where nobody was asked yet; ``asks``: what is open is asked (``Asking``), not assumed.
    """

    slug: str
    today: date
    base: str | None = None
    hosts: tuple[str, ...] | None = None
    asks: bool = False
    seed: str | None = None
    first_id: int = FIRST_OPERATION
    origin: str | None = None
    number: int | None = None
    kept_ids: Mapping[str, int] = field(default_factory=dict)
    kept_names: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(slots=True, kw_only=True)
class Built:
    """What came of a document: the partner's file, actions, triggers and lists by their names, and what they were made of."""

    service: Service
    access: Access
    partner: dict[str, Any]
    actions: dict[str, dict[str, Any]] = field(default_factory=dict)
    triggers: dict[str, dict[str, Any]] = field(default_factory=dict)
    lists: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    json_only: dict[str, list[str]] = field(default_factory=dict)
    unkept: dict[str, list[str]] = field(default_factory=dict)
    hooks: list[str] = field(default_factory=list)


def read_service(data: Mapping[str, Any], read: ReadFile = no_files, origin: str | None = None) -> tuple[Service, References]:
    """The service that a document describes, whatever its format. Raises ``Refused``."""
    if "swagger" in data:
        return read_swagger(References(data, read), origin)
    if "discoveryVersion" in data:
        return read_discovery(data, origin)
    if "openapi" in data or ("paths" in data and isinstance(data["paths"], dict)):
        references = References(data, read)
        return OpenApi(references, origin).read(), references
    known = ", ".join(sorted(str(key)[:40] for key in data)[:8])
    raise Refused(f"This is no OpenAPI, Swagger or Google discovery document: it begins with {known or 'nothing'}.")


def build(data: Mapping[str, Any], wanted: Wanted, read: ReadFile = no_files, progress: Progress | None = None) -> Built:
    """Everything that a folder holds. Raises ``Refused`` when nothing of the document can be used, ``Asking`` where something has to be said first."""
    service, references = read_service(data, read, wanted.origin or _plain(wanted.base))
    if not service.endpoints:
        why = service.left[0].why if service.left else "it describes no operations."
        raise Refused(f"Nothing of this document can be used: {why}")
    questions = list(ask_base(service, wanted)) if wanted.asks else []
    service = at_server(service, wanted)
    access = read_access(service, None if wanted.base in {server.url for server in service.servers} else wanted.base)
    built = Built(service=service, access=access, partner=_partner(service, access, wanted), left=[*service.left, *access.left])
    views = Views(references)
    naming = Naming(
        slug=wanted.seed or wanted.slug,
        first=wanted.first_id,
        ids=set(wanted.kept_ids.values()),
        kept_ids=wanted.kept_ids,
        kept_names=wanted.kept_names,
    )
    for number, endpoint in enumerate(service.endpoints, 1):
        _add_action(built, views, endpoint, naming)
        if progress is not None:
            progress(number, len(service.endpoints))
    for reference, why in views.dangling.items():
        built.left.append(Left(pointer=reference, what="a schema", why=f"{why} What stands there is taken as any JSON."))
    add_lists(built, views)
    add_triggers(built, views, naming)
    questions += ask_hosts(built, wanted) if wanted.asks else []
    if questions:
        raise Asking(questions)
    leave_out_hosts(built, wanted)
    if not built.actions:
        raise Refused("No operation of this document can be said in the language; the report names each with its reason.")
    return built


def _add_action(built: Built, views: Views, endpoint: Endpoint, naming: Naming) -> None:
    try:
        made = CallMaker(views, endpoint, frozenset(built.access.hidden)).make()
        action = _action(built, views, endpoint, made, naming)
        Action.model_validate(action, by_alias=True, by_name=False)
    except Unsayable as error:
        built.left.append(Left(pointer=endpoint.pointer, what=endpoint.call, why=str(error)))
        return
    except RecursionError:
        built.left.append(Left(pointer=endpoint.pointer, what=endpoint.call, why="Its schemas nest too deep."))
        return
    except (TypeError, ValueError, LookupError, AttributeError) as error:  # a defect here, that the other operations need not pay for
        why = f"The importer failed on it ({type(error).__name__}): please report it with the document."
        built.left.append(Left(pointer=endpoint.pointer, what=endpoint.call, why=why))
        return
    built.actions[action["name"]] = action
    built.endpoints[action["name"]] = endpoint
    built.made[action["name"]] = made
    built.left += [Left(pointer=endpoint.pointer, what=what, why=why) for what, why in made.left]
    if made.json_only:
        built.json_only[action["name"]] = made.json_only
    if made.unkept:
        built.unkept[action["name"]] = made.unkept


def _action(built: Built, views: Views, endpoint: Endpoint, made: Made, naming: Naming) -> dict[str, Any]:
    name = naming.kept_names.get(endpoint.call) or operation_name(endpoint.method, endpoint.path, endpoint.id)
    name = unique(name, naming.taken)
    number = naming.kept_ids.get(endpoint.call) or operation_id(naming, endpoint.call)
    harmless = endpoint.method in _HARMLESS
    action: dict[str, Any] = {
        "id": number,
        "name": name,
        "title": operation_title(endpoint.method, endpoint.path, endpoint.summary, endpoint.id)[:TITLE_LONGEST],
    }
    if endpoint.description and endpoint.description != endpoint.summary:
        action["description"] = endpoint.description
    if endpoint.tags:
        action["group"] = endpoint.tags[0]
    if endpoint.deprecated:
        action["deprecated"] = True
    action["idempotent"] = endpoint.method in _HARMLESS | {"PUT", "DELETE"}
    if harmless or (endpoint.method == "POST" and _only_reads(endpoint)):
        action["readOnly"] = True
        action["idempotent"] = True
    if endpoint.method == "DELETE":
        action["destructive"] = True
    if made.fields:
        action["fields"] = made.fields
    if made.sections:
        action["sections"] = made.sections
    if made.demands:
        action["needsOneOf"] = made.demands
    call = dict(made.call)
    _aim(call, endpoint, built)
    if endpoint.open:
        call["auth"] = False
    action["call"] = call
    result = _result(views, endpoint, made, call)
    if result:
        action["result"] = result
    return action


def _only_reads(endpoint: Endpoint) -> bool:
    """Whether a POST says of itself that it only looks something up."""
    tail = endpoint.path.rstrip("/").rsplit("/", 1)[-1].lower().rsplit(":", 1)[-1].rsplit(".", 1)[-1]
    return tail in _READING


def _aim(call: dict[str, Any], endpoint: Endpoint, built: Built) -> None:
    """A call to another server than the service's has a whole address; one whose address varies cannot be called."""
    if endpoint.server is None or built.access.base is None or endpoint.server in built.service.servers:
        return
    server = endpoint.server.usual
    if server == built.access.base:
        return
    if server.startswith("/"):
        raise Unsayable(
            f'It stands at "{clean_text(server, 100)}" of an address that the description does not say: import it with that (--base).'
        )
    if "{" in server or not server.startswith(("https://", "http://")):
        raise Unsayable(f'It stands at a server of its own, "{clean_text(server, 100)}", whose address varies.')
    call["url"] = server + call.pop("path")


def _result(views: Views, endpoint: Endpoint, made: Made, call: dict[str, Any]) -> dict[str, Any]:
    if call.get("decode") == "file":
        names = {one["name"] for one in (*made.fields, *made.sections)}
        name = next(name for name in ("file", "file_result", "file_answer") if name not in names)
        return {"fields": [{"name": name, "type": "file", "label": "File", "at": ""}]}
    if endpoint.answer.schema is None or call.get("decode") in {"text", "auto"}:
        return {}
    inputs = {one["name"]: str(one["type"]) for one in made.fields} | {one["name"]: "section" for one in made.sections}
    if call.get("decode") != "xml":
        return Outputs(views, inputs).read(endpoint.answer.schema)
    markup = Markup(views, prefixes=False)
    found = markup.root(endpoint.answer.schema)
    if found is None:
        return Outputs(views, inputs).read(endpoint.answer.schema)
    if markup.lists:
        call["xml"] = {"lists": list(dict.fromkeys(markup.lists))}
    return {"value": _INSIDE, **Outputs(views, inputs).read(found[1])}


def _partner(service: Service, access: Access, wanted: Wanted) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": wanted.number if wanted.number is not None else partner_id(wanted.slug),
        "slug": wanted.slug,
        "title": service.title or wanted.slug.replace("-", " ").title(),
    }
    if service.description:
        found["description"] = service.description[:500]
    found["owners"] = ["imported"]
    if service.docs is not None and service.docs.startswith(("https://", "http://")) and len(service.docs) < 500:
        found["docs"] = service.docs
    found["base"] = access.base
    connection: dict[str, Any] = {"fields": access.fields} if access.fields else {}
    found["connection"] = {**connection, "auth": access.choices}
    found["errors"] = [
        {"status": [401], "kind": "invalid_connection"},
        {"status": [403], "kind": "forbidden"},
        {"status": [404], "kind": "not_found"},
        {"status": [409], "kind": "conflict"},
        {"status": [429], "kind": "rate_limited"},
        {"status": [400, 422], "kind": "invalid_input"},
        {"status": ["5xx"], "kind": "unavailable"},
    ]
    found["verified"] = {"how": "imported", "on": wanted.today.isoformat()}
    return found


def _plain(base: str | None) -> str | None:
    """An address that others are told from: one without parts that vary."""
    return base if base is not None and "{" not in base else None


def beside(folder: Path) -> ReadFile:
    """The reader of files in a document's folder. What a link leads out of it is not there."""
    root = folder.resolve()

    def read(name: str) -> bytes:
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise OSError(f"there is no {name}")
        return path.read_bytes()

    return read
