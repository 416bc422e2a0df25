"""The composition root of the control plane: settings become parts, parts become rooms. Nothing else makes a client."""

import asyncio
import random
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import structlog
import uvloop
from aiohttp import web
from argon2 import PasswordHasher
from pydantic import SecretStr

from control_plane.admin_keys.api import AdminKeys
from control_plane.analytics.answer import Analyst
from control_plane.analytics.api import Analytics
from control_plane.analytics.engine import Engine
from control_plane.analytics.filters_api import FilterHelp
from control_plane.analytics.portkey import PortkeyAnalytics
from control_plane.api_keys.api import ApiKeys
from control_plane.audit.api import Audit
from control_plane.auth.account import Accounts
from control_plane.auth.attempts import Attempts
from control_plane.auth.authenticator import SessionsAndAdminKeys
from control_plane.auth.first_run import FirstRun
from control_plane.auth.join import Joining
from control_plane.auth.login import Logins
from control_plane.auth.passwords import Passwords
from control_plane.catalogue import catalogue
from control_plane.catalogue.seed import seed
from control_plane.configs.api import Configs
from control_plane.data_keys import INSTANCE, DataKeys
from control_plane.db.errors import DatabaseUnavailable, DatabaseUnfit
from control_plane.db.migrate import MigrationError, migrate
from control_plane.db.pool import Database
from control_plane.errors import Problem
from control_plane.gateways.api import Gateways
from control_plane.gateways.nodes import Nodes
from control_plane.gateways.tokens import EnrolmentTokens
from control_plane.hash_keys import HashKeys
from control_plane.ids import Ids
from control_plane.invitations.api import InvitationCreate, Invitations
from control_plane.kms.local import LocalKms
from control_plane.known_providers import KnownProviders, read_built_in
from control_plane.members.api import Members
from control_plane.metrics import Metrics
from control_plane.models.api import Models
from control_plane.organisations.api import Organisations
from control_plane.panel.pages import Pages
from control_plane.permissions import ActorKind, OrganisationRole, Principal
from control_plane.prices.api import Prices
from control_plane.providers.api import Providers
from control_plane.records.api import Records
from control_plane.records.feed import Feed
from control_plane.settings import Settings
from control_plane.snapshots import files, state
from control_plane.snapshots.change import Changes, ShardKeys
from control_plane.snapshots.errors import BuildError
from control_plane.snapshots.gateway_keys import GatewayKeys
from control_plane.snapshots.lease import LeaseIssuer
from control_plane.snapshots.read import ShardReader
from control_plane.sync import store
from control_plane.sync.api import SyncApi
from control_plane.sync.authenticate import NodeAuthenticator
from control_plane.sync.enrol import Enrolments
from control_plane.sync.notices import Notices
from control_plane.sync.upkeep import Upkeep
from control_plane.telemetry import ledger
from control_plane.telemetry.arrivals import Arrivals
from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.ingest import Ingest
from control_plane.telemetry.migrate import Engines
from control_plane.telemetry.reconcile import reconcile, told
from control_plane.telemetry.reconciling import Reconciling
from control_plane.telemetry.retention import Retention
from control_plane.telemetry.schema import Schema
from control_plane.virtual_keys.api import VirtualKeys
from control_plane.web import openapi, reference_page
from control_plane.web.api import BODY_BYTES_MAX, Api
from control_plane.web.certificate import Certificate
from control_plane.web.connection import listen
from control_plane.web.route import Call, Route
from control_plane.workspaces.api import Workspaces
from shared import logs, process_limits
from shared.clock import Clock, SystemClock
from shared.crypto import sign
from shared.crypto.secret import Secret

VERSION = "0.1.0"
FIRST_RUN_FILE = "first-run-code"
"""Where the one-use code is left for whoever can read the state folder; it goes when it is used up."""

_WHY_NOT = (BuildError, DatabaseUnfit, MigrationError, Problem, OSError, ValueError)
"""What a person can mend: told in one line, without a traceback."""

log = structlog.get_logger("control_plane")


class Differs(Exception):
    """What a command compared is not the same. The text tells it."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the rooms stand on."""

    database: Database
    changes: Changes
    data_keys: DataKeys
    shard_keys: ShardKeys
    known: KnownProviders
    ids: Ids
    clock: Clock


@dataclass(frozen=True, slots=True)
class Sync:
    """What answers nodes, and what runs beside it."""

    authenticator: NodeAuthenticator
    enrolments: Enrolments
    issuer: LeaseIssuer
    notices: Notices
    upkeep: Upkeep


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Records and what is counted of them, and what runs beside it."""

    clickhouse: ClickHouse
    retention: Retention
    schema: Schema
    ingest: Ingest
    arrivals: Arrivals
    reconciling: Reconciling


@dataclass(frozen=True, slots=True)
class Plane:
    """What a running control plane is made of, as its server needs it."""

    routes: tuple[Route, ...]
    authenticator: SessionsAndAdminKeys
    first_run: FirstRun
    organisations: Organisations
    invitations: Invitations
    changes: Changes
    sync: Sync
    telemetry: Telemetry
    metrics: Metrics
    database: Database
    ids: Ids


def run(settings: Settings) -> int:
    """Run until asked to stop. Returns the exit code, having said in one line why it cannot start."""
    logs.set_up(settings.log_level, sys.stderr)
    process_limits.forbid_core_dumps()
    process_limits.allow_open_files()  # Each node holds a connection, and so does each page that shows live records.
    try:
        uvloop.run(_serve(settings))
    except _WHY_NOT as error:
        print(f"the control plane cannot start: {_why(error)}", file=sys.stderr)
        return 1
    return 0


def migrate_only(settings: Settings) -> int:
    """Bring the schemas up to date, as a step of its own before new processes start."""

    async def act() -> str:
        names = await migrate(settings.postgres_url.get_secret_value())
        if settings.clickhouse_url is not None:
            async with _ground_of_records(settings) as (_, telemetry):
                names += await telemetry.schema.bring_up()
        return f"applied {', '.join(names)}" if names else "the schema is up to date"

    return _command(act)


def make_organisation(settings: Settings, name: str, email: str) -> int:
    """A further organisation, above the heads of all others: so there is no route for it. Prints an invitation."""

    async def act() -> str:
        async with plane(settings) as parts:
            principal = Principal(ActorKind.INSTANCE, "command", parts.ids.new("org"))
            async with parts.changes.open_instance(principal, principal.organisation, "command") as change:
                await parts.organisations.make(change, name)
            invitation = InvitationCreate(email=email, role=OrganisationRole.OWNER)
            made = await parts.invitations.create(Call("command", principal, {}, invitation, {}))
        return f"organisation {principal.organisation}; its owner joins at {settings.url}{made.path}"

    return _command(act)


def reconcile_records(settings: Settings, days: int | None) -> int:
    """Compare the ledger with ClickHouse. 1 where they differ, or where one of them is away."""

    async def act() -> str:
        async with _ground_of_records(settings) as (ground, telemetry):
            telemetry.clickhouse.open()
            result = await reconcile(
                ground.database, telemetry.clickhouse, telemetry.retention, ground.clock, days=days
            )
        lines = "\n".join(told(result))
        if not result.equal:
            raise Differs(lines)
        return lines

    return _command(act)


def _command(act: Callable[[], Coroutine[Any, Any, str]]) -> int:
    process_limits.forbid_core_dumps()
    try:
        print(uvloop.run(act()))
    except Differs as differs:
        print(differs)
        return 1
    except _WHY_NOT as error:
        print(f"not done: {_why(error)}", file=sys.stderr)
        return 1
    return 0


def _why(error: Exception) -> str:
    """With the name of the setting, where it is the database's."""
    if not isinstance(error, DatabaseUnfit | DatabaseUnavailable):
        return str(error)
    said = str(error.__cause__ or "") if isinstance(error, DatabaseUnavailable) else ""
    return f"GATEHOUSE_POSTGRES_URL: {error}" + (f" ({said})" if said else "")


async def _serve(settings: Settings) -> None:
    stop = _stop_signal()
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"GATEHOUSE_STATE_DIR, {settings.state_dir}, cannot be used: {error.strerror}") from error
    for name in await migrate(settings.postgres_url.get_secret_value()):
        log.info("migration_applied", name=name)
    async with plane(settings) as parts:
        await _offer_first_run(parts.first_run, settings.state_dir / FIRST_RUN_FILE)
        runner = web.AppRunner(application(parts), shutdown_timeout=settings.drain_s)
        telemetry = parts.telemetry
        background = (parts.sync.notices, parts.sync.upkeep, telemetry.schema, telemetry.reconciling)
        beside = [asyncio.create_task(part.run()) for part in background]
        if settings.metrics_port:
            beside.append(asyncio.create_task(parts.metrics.serve(settings.metrics_host, settings.metrics_port)))
        await runner.setup()
        try:
            certificate = _certificate(settings)
            if certificate is not None:
                beside.append(asyncio.create_task(certificate.follow()))
            tls = certificate.context if certificate is not None else None
            with closing(await _listen(runner.server, settings, tls, parts.ids)):
                log.info("control_plane_ready", host=settings.host, port=settings.port)
                await stop.wait()
        finally:
            # First those who wait for news: they are answered as soon as nobody listens any more.
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await runner.cleanup()


@asynccontextmanager
async def plane(settings: Settings) -> AsyncIterator[Plane]:
    """Every room, on one database that is migrated already; the catalogue is seeded. Ends what it opened.

    Raises Unavailable if the KMS cannot open what this database holds, ValueError if the key that its nodes trust is
    gone: better now than at somebody's first edit.
    """
    database = await Database.connect(
        settings.postgres_url.get_secret_value(), connections_max=settings.connections_max
    )
    ground = _ground(settings, database)
    telemetry = _telemetry(settings, ground)
    try:
        await seed(ground.changes, ground.data_keys, ground.shard_keys, catalogue.load(ground.known.built_in))
        async with database.instance() as connection:
            await ground.data_keys.require(connection, INSTANCE)
        signing_key = await _signing_key(settings.state_dir / "signing.key", database)
        yield _assembled(settings, ground, telemetry, signing_key)
    finally:
        await telemetry.clickhouse.close()
        await database.close()


async def _signing_key(path: Path, database: Database) -> Secret:
    """Made at the first start; later nodes trust no other. Raises BuildError, OSError, ValueError."""
    if not await asyncio.to_thread(path.exists):
        async with database.instance() as connection:
            nodes = await store.count_nodes(connection)
        if nodes:
            raise ValueError(
                f"{path} is not there, and the nodes of this database ({nodes}) trust no other key: put it back. If it"
                f" is lost for good, `python -m control_plane fingerprint --signing-key {path}` makes a new one, and"
                " then each node is to be enrolled anew"
            )
    return state.signing_key(path)


def description() -> dict[str, Any]:
    """The OpenAPI description as this code serves it. Nothing is opened, written or read: the routes are data."""
    settings = Settings.model_construct(postgres_url=SecretStr("postgresql://nowhere"))
    ground = _ground(settings, Database.unconnected())
    parts = _assembled(settings, ground, _telemetry(settings, ground), sign.new_key())
    return openapi.describe(parts.routes, VERSION)


def _ground(settings: Settings, database: Database) -> Ground:
    clock = SystemClock()
    ids = Ids(clock)
    data_keys = DataKeys(LocalKms(settings.state_dir / settings.kms.removeprefix("local:")), clock)
    shard_keys = ShardKeys(data_keys)
    changes = Changes(database, shard_keys, ids)
    return Ground(database, changes, data_keys, shard_keys, KnownProviders(read_built_in()), ids, clock)


def _assembled(settings: Settings, ground: Ground, telemetry: Telemetry, signing_key: Secret) -> Plane:
    """The rooms on their ground; opens nothing."""
    database, changes, ids, clock = ground.database, ground.changes, ground.ids, ground.clock
    data_keys, shard_keys, known = ground.data_keys, ground.shard_keys, ground.known
    passwords, attempts = Passwords(PasswordHasher()), Attempts(clock)
    organisations = Organisations(database, changes, shard_keys, data_keys, ids)
    first_run = FirstRun(database, changes, organisations, passwords, attempts, ids)
    gateway_keys = GatewayKeys(data_keys, shard_keys)
    invitations = Invitations(database, changes, ids)
    fingerprint = sign.fingerprint(sign.public_key(signing_key))
    engine = Engine(telemetry.clickhouse)
    analyst = Analyst(engine, clock, telemetry.retention)
    rooms = (
        first_run,
        Logins(database, changes, passwords, attempts),
        Accounts(database, changes, passwords, attempts),
        Joining(database, changes, passwords, attempts, ids),
        organisations,
        Members(database, changes),
        invitations,
        AdminKeys(database, changes, ids, clock),
        Workspaces(database, changes, shard_keys, ids),
        ApiKeys(database, changes, HashKeys(data_keys), ids),
        VirtualKeys(database, changes, data_keys, known, ids),
        Configs(database, changes, ids),
        Providers(database, changes, known),
        Models(database),
        Prices(database, changes, known, ids),
        Gateways(database, changes, gateway_keys, ids),
        EnrolmentTokens(database, changes, ids, fingerprint=fingerprint, public_url=settings.url),
        Nodes(database, changes),
        Audit(database),
        Analytics(database, analyst, clock),
        FilterHelp(database, engine, analyst, clock),
        PortkeyAnalytics(database, analyst, clock),
        Records(database, engine, Feed(database, engine, telemetry.arrivals, clock), clock),
    )
    routes = tuple(route for room in rooms for route in room.routes())
    authenticator = SessionsAndAdminKeys(database, settings.public_url)
    reader = ShardReader()
    nodes = NodeAuthenticator(database, clock)
    sync = Sync(
        nodes,
        Enrolments(database, changes, nodes, signing_key, settings.endpoints),
        LeaseIssuer(database, reader, gateway_keys, signing_key, clock),
        Notices(
            Secret(settings.postgres_url.get_secret_value()),
            database,
            reader,
            others={ledger.CHANNEL: telemetry.arrivals},
        ),
        Upkeep(database),
    )
    metrics = Metrics(database, telemetry.clickhouse, telemetry.ingest, telemetry.reconciling, clock)
    return Plane(
        routes, authenticator, first_run, organisations, invitations, changes, sync, telemetry, metrics, database, ids
    )


@asynccontextmanager
async def _ground_of_records(settings: Settings) -> AsyncIterator[tuple[Ground, Telemetry]]:
    """For a command about records. Ends what it opened."""
    logs.set_up(settings.log_level, sys.stderr)
    database = await Database.connect(settings.postgres_url.get_secret_value(), connections_max=2)
    ground = _ground(settings, database)
    telemetry = _telemetry(settings, ground)
    try:
        yield ground, telemetry
    finally:
        await telemetry.clickhouse.close()
        await database.close()


def _telemetry(settings: Settings, ground: Ground) -> Telemetry:
    database, clock, url = ground.database, ground.clock, settings.clickhouse_url
    clickhouse = ClickHouse(None if url is None else Secret(url.get_secret_value()))
    retention = Retention(settings.record_days_max, settings.record_minute_days_max, settings.record_hour_days_max)
    return Telemetry(
        clickhouse,
        retention,
        Schema(clickhouse, database, retention, Engines(settings.clickhouse_cluster)),
        Ingest(database, clickhouse, clock, retention.record_days),
        Arrivals(),
        Reconciling(database, clickhouse, retention, clock),
    )


def application(parts: Plane) -> web.Application:
    """The server: the API's routes, its description, the probes, and the panel."""
    server = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[parts.metrics.middleware])
    api = Api(parts.authenticator, parts.ids)
    api.add(server, parts.routes)
    sync = parts.sync
    door = SyncApi(
        api,
        parts.database,
        sync.authenticator,
        sync.enrolments,
        sync.issuer,
        sync.notices,
        parts.telemetry.ingest,
        random.Random(),
    )
    door.add(server)
    description = openapi.describe(parts.routes, VERSION)
    document, page = orjson.dumps(description), reference_page.render(description)

    async def openapi_json(_: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    async def reference(_: web.Request) -> web.Response:
        headers = {"content-security-policy": reference_page.POLICY, "x-content-type-options": "nosniff"}
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def alive(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def ready(_: web.Request) -> web.Response:
        try:
            async with parts.database.instance() as connection:
                await connection.fetchval("select 1")
        except Problem as problem:
            return web.json_response({"status": "not_ready", "code": problem.code}, status=503)
        # Analytics may be away: everything else is served without them.
        return web.json_response({"status": "ready", "analytics": await parts.telemetry.clickhouse.state()})

    server.router.add_get("/api/openapi.json", openapi_json)
    server.router.add_get("/api", reference)
    server.router.add_get("/livez", alive)
    server.router.add_get("/readyz", ready)
    Pages().add(server)
    return server


def _certificate(settings: Settings) -> Certificate | None:
    """What browsers and gateways are shown. Raises ValueError."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return Certificate(settings.tls_cert_file, settings.tls_key_file)


async def _listen(
    server: web.Server | None, settings: Settings, tls: ssl.SSLContext | None, ids: Ids
) -> asyncio.Server:
    """Raises ValueError."""
    if server is None:
        raise ValueError("the server is not set up")
    new_id = partial(ids.new, "rq")
    try:
        return await listen(server, settings.host, settings.port, new_id=new_id, tls=tls)
    except OSError as error:
        where = f"port {settings.port} of {settings.host}"
        raise ValueError(
            f"{where} cannot be had; free it, or set GATEHOUSE_HOST or GATEHOUSE_PORT to another"
        ) from error


async def _offer_first_run(first_run: FirstRun, file: Path) -> None:
    """While there is no owner, the code that makes one is printed and left in a private file; later there is none."""
    code = await first_run.make_code()
    if code is None:
        # A folder that only holds keys, and may not be written to, is asked to remove nothing.
        if await asyncio.to_thread(file.exists):
            await asyncio.to_thread(file.unlink, missing_ok=True)
        return
    await asyncio.to_thread(files.write_whole, file, code.reveal(), files.PRIVATE)
    # To people, not to the log: whoever reads the log later must not find a way in.
    print(f"No owner yet. Make one with this one-use code: {code.reveal_text()}", flush=True)


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
