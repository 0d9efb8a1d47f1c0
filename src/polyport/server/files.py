"""Files over HTTP: upload once, send by ``{"fileId"}`` as often as needed. Native, beside section 5 of the wire contract."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from typing import Final
from urllib.parse import quote

from pydantic import Field

from polyport.errors import Fault, NotFound, ValidationFailed
from polyport.server.routing import Answer, Body, Call, Endpoint
from polyport.server.wire import ExternalUserId
from polyport.store.base import Stale
from polyport.store.records import File

OCTETS: Final = "application/octet-stream"
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]{0,80}/[a-z0-9][a-z0-9.+-]{0,100}", re.ASCII)
_CHARSET: Final = re.compile(r"""(?:^|;)\s*charset\s*=\s*"?([a-z0-9][a-z0-9_.:-]{0,40})"?\s*(?:;|$)""", re.ASCII | re.IGNORECASE)
_RUN: Final = re.compile(r"html|xml|svg|script|multipart")


class FileBody(Body):
    """A file to keep. ``base64`` is its content."""

    name: str = Field(min_length=1, max_length=255)
    content_type: str = Field(default="application/octet-stream", min_length=1, max_length=255)
    base64: str
    external_user_id: ExternalUserId | None = Field(default=None, description="Whose file it is, if it is that of one of your users.")


class FileAnswer(Body):
    """A kept file; ``size`` in bytes."""

    file_id: str
    name: str
    content_type: str
    size: int
    external_user_id: str | None


async def create(call: Call) -> Answer:
    """POST /files."""
    body = call.body(FileBody)
    if not (body.name + body.content_type).isprintable():
        raise ValidationFailed.of(Fault(path="name", code="wrong_format", message="Name and content type have no line breaks."))
    try:
        content = base64.b64decode(body.base64, validate=True)
    except (binascii.Error, ValueError):
        raise ValidationFailed.of(Fault(path="base64", code="wrong_format", message="This is not valid base64.")) from None
    file_id = f"file_{secrets.token_hex(16)}"
    box = await call.engine.desk.box(call.principal.account_id)
    file = File(
        file_id=file_id,
        account_id=call.principal.account_id,
        name=body.name,
        content_type=body.content_type,
        size=len(content),
        created_at=call.engine.runtime.now_ms(),
        external_user_id=body.external_user_id,
        sealed=box.seal(content, f"file/{file_id}"),
    )
    await call.engine.runtime.repo.files.insert(file)
    return Answer(data=_item(file), status=201)


async def read(call: Call) -> Answer:
    """GET /files/{fileId}."""
    file = await call.engine.runtime.repo.files.get(call.principal.account_id, call.text("fileId"))
    if file is None:
        raise NotFound("There is no file with this id.")
    return Answer(data=_item(file))


async def content(call: Call) -> Answer:
    """GET /files/{fileId}/content: the bytes, as a download that no browser shows or guesses at."""
    file = await call.engine.runtime.repo.files.get(call.principal.account_id, call.text("fileId"))
    if file is None:
        raise NotFound("There is no file with this id.")
    box = await call.engine.desk.box(file.account_id)
    return Answer(
        content=box.open(file.sealed, f"file/{file.file_id}"),
        media_type=OCTETS,
        headers={
            "Content-Type": _type_of(file.content_type),  # as a header: the framework would say of any text that it is UTF-8
            "Content-Disposition": _disposition(file.name),
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


def _type_of(told: str) -> str:
    """The file's own type, with its character set where it names one, unless a browser would run what is in it or it is no type: then just bytes."""
    kind, _, parameters = told.partition(";")
    kind = kind.strip().lower()
    if not _TYPE.fullmatch(kind) or _RUN.search(kind):
        return OCTETS
    charset = _CHARSET.search(parameters)
    return f"{kind}; charset={charset[1].lower()}" if charset is not None else kind


def _disposition(name: str) -> str:
    """The file's name in both writings: plain for old clients, and as it is (RFC 6266)."""
    plain = re.sub(r'[^ -~]|["\\\\/%]', "_", name, flags=re.ASCII)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


async def delete(call: Call) -> Answer:
    """DELETE /files/{fileId}."""
    try:
        await call.engine.runtime.repo.files.delete(call.principal.account_id, call.text("fileId"))
    except Stale:
        raise NotFound("There is no file with this id.") from None
    return Answer()


def _item(file: File) -> dict[str, object]:
    return {
        "fileId": file.file_id,
        "name": file.name,
        "contentType": file.content_type,
        "size": file.size,
        "externalUserId": file.external_user_id,
    }


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/files",
        handler=create,
        tag="Files",
        summary="Keep a file, to send it by its id",
        scope="runs:write",
        body=FileBody,
        answer=FileAnswer,
        status=201,
    ),
    Endpoint(
        method="GET", path="/files/{fileId}", handler=read, tag="Files", summary="Read about a file", scope="runs:read", answer=FileAnswer
    ),
    Endpoint(
        method="GET",
        path="/files/{fileId}/content",
        handler=content,
        tag="Files",
        summary="Download a file",
        description=(
            "The bytes of the file, as an attachment with its name. The content type is the file's own, or application/octet-stream where a browser "
            "would run what is in it (HTML, SVG, XML, scripts)."
        ),
        scope="runs:read",
        media="application/octet-stream",
    ),
    Endpoint(method="DELETE", path="/files/{fileId}", handler=delete, tag="Files", summary="Delete a file", scope="runs:write"),
)
