"""Operations that every partner with an address of its own has without anybody writing them: a request of the caller's own, sent with a connection.

There are two for each partner, one that only reads and one that may change something: what is repeated on its own depends on that. Their ids come from
the partner's, at the far end of the numbers, where no folder's are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from polyport.manifest.model import SAFE_METHODS, Action

_TOP: Final = 2**53 - 1
_LEAST: Final = _TOP - 2 * 2**31 - 1
METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_PATHS: Final = {"": "/{{path}}", "/": "/{{path}}/"}
_BODIES: Final[dict[str, dict[str, Any]]] = {
    "none": {"encoding": "none"},
    "json": {"encoding": "json", "body": "{{json}}"},
    "form": {"encoding": "form", "body": "{{form}}"},
    "text": {"encoding": "text", "body": "{{text}}", "contentType": "{{content_type}}"},
}


def passing_id(partner_id: int, method: str) -> int:
    """The id of the operation by which a partner is sent a request of the caller's own."""
    return _TOP - 2 * partner_id - (method in SAFE_METHODS)


def partner_of(operation_id: int) -> int | None:
    """The partner of such an operation; ``None`` for any other."""
    return (_TOP - operation_id) // 2 if _LEAST <= operation_id <= _TOP else None


def shape_of(*, slash: bool, body: str) -> str:
    """Which of the operation's calls is sent: whether the path has a slash at its end, and what the body is (``none``, ``json``, ``form``, ``text``)."""
    return f"{'/' if slash else ''}{body}"


@lru_cache(maxsize=256)
def passing(operation_id: int) -> Action:
    """The operation with such an id."""
    reads = (_TOP - operation_id) % 2 == 1
    calls = [
        {
            "when": {"at": "shape", "equals": f"{ending}{body}"},
            "method": "{{method}}",
            "path": path,
            "query": "{{query}}",
            "headers": "{{headers}}",
            "decode": "auto",
            "envelope": True,
            **sent,
        }
        for ending, path in _PATHS.items()
        for body, sent in _BODIES.items()
    ]
    told = {
        "id": operation_id,
        "name": "read_by_proxy" if reads else "send_by_proxy",
        "title": "A request of the caller's own",
        "idempotent": reads,
        "readOnly": reads,
        "fields": [
            {"name": "shape", "type": "string", "label": "Shape", "required": True},
            {"name": "method", "type": "string", "label": "Method", "required": True},
            {"name": "path", "type": "string[]", "label": "Path", "required": True},
            {"name": "query", "type": "object", "label": "Query"},
            {"name": "headers", "type": "object", "label": "Headers"},
            {"name": "json", "type": "object", "label": "JSON"},
            {"name": "form", "type": "object", "label": "Form"},
            {"name": "text", "type": "string", "label": "Text"},
            {"name": "content_type", "type": "string", "label": "Content type"},
        ],
        "calls": calls,
        "result": {
            "fields": [
                {"name": "status", "type": "integer", "label": "Status"},
                {"name": "headers", "type": "object", "label": "Headers"},
                {"name": "body", "type": "object", "label": "Body"},
                {"name": "text", "type": "string", "label": "Text", "at": ["body"]},
            ]
        },
    }
    return Action.model_validate(told)
