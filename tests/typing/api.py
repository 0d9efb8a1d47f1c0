"""The public types, checked by the type checker and never run: what callers of these names rely on."""

from typing import Any, assert_type

from polyport.catalog import Catalog, Page, View, Wanted
from polyport.engine.desk import Desk
from polyport.engine.record import Ask, Done
from polyport.engine.run import Engine
from polyport.errors import Details, Fault, PolyportError, Upstream, ValidationFailed
from polyport.manifest.load import Loaded, load_partner
from polyport.manifest.model import Action, Partner, Trigger
from polyport.net.message import Network, NetworkFault, Reply, Request
from polyport.paths import Path, parse_path
from polyport.runtime import Runtime
from polyport.settings import Settings, load_settings
from polyport.store.records import Run, RunStatus


class Canned:
    """A network of one answer is a ``Network`` without saying so."""

    async def send(self, request: Request) -> Reply:
        if not request.url:
            raise NetworkFault("no address", reached=False)
        return Reply(status=200)


network: Network = Canned()


async def running(runtime: Runtime, engine: Engine, run: Run) -> None:
    assert_type(runtime.settings, Settings)
    assert_type(await runtime.catalog.seen_by(1).operation(1), tuple[Partner, Action | Trigger])
    assert_type(await runtime.network.send(Request(method="GET", url="https://example.com")), Reply)
    assert_type(await engine.run_sync(Ask(account_id=1, operation_id=2, mode="sync")), Done)
    assert_type(await engine.dry_run(Ask(account_id=1, operation_id=2, mode="sync")), list[dict[str, Any]])
    assert_type(await engine.run_once(run), Done)
    assert_type(await runtime.catalog.seen_by(None).list_partners(Wanted()), Page)
    assert_type(run.status, RunStatus)


def reading(catalog: Catalog, runtime: Runtime) -> None:
    assert_type(catalog.seen_by(None), View)
    assert_type(load_settings({}, port=1), Settings)
    assert_type(parse_path("a.b"), Path)
    assert_type(Engine(Desk(runtime)).desk, Desk)


def failing(loaded: Loaded, error: PolyportError) -> None:
    assert_type(loaded.partner, Partner | None)
    assert_type(error.details, Details)
    assert_type(error.details.upstream, Upstream | None)
    assert_type(ValidationFailed.of(Fault(path="a", code="b", message="c")), ValidationFailed)
    assert_type(PolyportError.from_record(error.as_record()), PolyportError)
    assert_type(load_partner.__name__, str)
