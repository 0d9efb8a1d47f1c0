"""A service that creates a person at a partner with a customer's stored credential. ``python -m bench.week.app PORT DATABASE PARTNER_URL``.

It is written as one would: a token for the caller, the customer's API token encrypted at rest, the input a pydantic model, one HTTP client for all calls, a
row for each run, written before the call and brought up to date after it. It has what Polyport's run has in outline, and none of what takes longer than a
week: no repeat protection, no retries, no custom fields of the customer's account, no limits, no file locks, no recovery of runs that a crash cut.
"""

import contextlib
import hashlib
import os
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import httpx
import uvicorn
from cryptography.fernet import Fernet
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import JSON, DateTime, ForeignKey, String, event, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

TOKEN_VARIABLE: Final = "WEEK_TOKEN"  # noqa: S105  the name of a variable
API_TOKEN: Final = "bench-api-token-0123456789"  # noqa: S105  it opens nothing but the benchmark's partner


class Base(DeclarativeBase):
    """The tables."""


class Account(Base):
    """A company, found by the hash of its token."""

    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)


class Connection(Base):
    """A customer's credential at the partner."""

    __tablename__ = "connections"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    secret: Mapped[bytes]


class Run(Base):
    """One call and what came of it."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connections.id"))
    status: Mapped[str] = mapped_column(String(16))
    input: Mapped[dict[str, Any]] = mapped_column(JSON)
    output: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), default=None)


class Contact(BaseModel):
    """An e-mail address or a phone number."""

    model_config = ConfigDict(extra="forbid")
    value: str = Field(min_length=3)
    label: str = "work"
    primary: bool = False


class Person(BaseModel):
    """What is created."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1)
    visible_to: int | None = None
    email: list[Contact] = []
    phone: list[Contact] = []
    custom_fields: dict[str, str] = {}


class Wanted(BaseModel):
    """The body of a run."""

    model_config = ConfigDict(extra="forbid")
    connection: int
    person: Person


class Answer(BaseModel):
    """What a run answers."""

    run: str
    status: str
    output: dict[str, Any] | None


def make_app(database: str, partner: str, token: str) -> FastAPI:
    """The application, on a SQLite file; ``token`` opens its one account, whose one connection has the number 1."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}", pool_size=16, max_overflow=0)
    event.listen(engine.sync_engine, "connect", _write_ahead)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    key = Fernet(Fernet.generate_key())
    bearer = HTTPBearer()

    @contextlib.asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        await _create(engine, sessions, key, token)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
        async with httpx.AsyncClient(base_url=partner, timeout=30, limits=limits) as client:
            app.state.client = client
            yield
        await engine.dispose()

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    Session = Annotated[AsyncSession, Depends(session)]  # noqa: N806  a type

    async def account(given: Annotated[HTTPAuthorizationCredentials, Depends(bearer)], opened: Session) -> Account:
        hashed = hashlib.sha256(given.credentials.encode()).hexdigest()
        found = await opened.scalar(select(Account).where(Account.token_hash == hashed))
        if found is None:
            raise HTTPException(401, "unknown token")
        return found

    app = FastAPI(lifespan=live)

    @app.get("/health")
    async def health() -> dict[str, bool]:
        return {"ok": True}

    @app.post("/runs")
    async def run(wanted: Wanted, request: Request, opened: Session, caller: Annotated[Account, Depends(account)]) -> Answer:
        connection = await opened.scalar(select(Connection).where(Connection.id == wanted.connection, Connection.account_id == caller.id))
        if connection is None:
            raise HTTPException(404, "unknown connection")
        body = _render(wanted.person)
        made = Run(
            id=str(uuid.uuid4()),
            account_id=caller.id,
            connection_id=connection.id,
            status="running",
            input=wanted.person.model_dump(),
            created_at=datetime.now(UTC),
        )
        opened.add(made)
        await opened.commit()
        headers = {"x-api-token": key.decrypt(connection.secret).decode()}
        try:
            reply = await request.app.state.client.post("/api/v2/persons", json=body, headers=headers)
            made.output = reply.json()
            made.status = "succeeded" if reply.is_success else "failed"
        except (httpx.HTTPError, ValueError) as error:
            made.status, made.output = "failed", {"error": str(error)}
        made.finished_at = datetime.now(UTC)
        await opened.commit()
        if made.status == "failed":
            raise HTTPException(502, {"run": made.id, "output": made.output})
        return Answer(run=made.id, status=made.status, output=made.output)

    return app


def _render(person: Person) -> dict[str, Any]:
    """The person as the partner's API wants it."""
    return {
        "name": person.name,
        "visible_to": person.visible_to,
        "emails": [each.model_dump() for each in person.email],
        "phones": [each.model_dump() for each in person.phone],
        "custom_fields": person.custom_fields,
    }


def _write_ahead(connection: Any, _record: Any) -> None:
    """Readers beside the writer, every commit on the disk: as Polyport's own database is opened."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


async def _create(engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession], key: Fernet, token: str) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as opened:
        opened.add(Account(id=1, token_hash=hashlib.sha256(token.encode()).hexdigest()))
        opened.add(Connection(id=1, account_id=1, secret=key.encrypt(API_TOKEN.encode())))
        await opened.commit()


def main() -> None:
    """Serve until SIGTERM."""
    port, database, partner = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    uvicorn.run(make_app(database, partner, os.environ[TOKEN_VARIABLE]), host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
