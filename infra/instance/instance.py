"""Starts an instance, keeps it running, and stops it."""

import asyncio
import contextlib
import signal
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial

import structlog

from infra.access.listening import check_listening
from infra.access.local import local_secret
from infra.deployment.deployer import deploy
from infra.embedded.ports import free_port
from infra.instance.console import Console
from infra.instance.plan import (
    PLANT_FILE,
    check_ports,
    embedded_servers,
    example,
    mqtt_url,
    resolve,
    roles_of,
    survived,
    urls_of,
    without_ahead_check,
)
from infra.instance.servers import InstanceServers
from infra.instance_lock import InstanceLock
from infra.log_topics import make_shared_topics
from infra.logs import configure
from infra.masking import secrets_of
from infra.registry import LOG_FOLDER, SUPERVISOR, ChildView, Presence, Registry
from infra.scrape_file import ScrapeFile
from infra.settings import Settings
from infra.settings_file import write_private
from infra.supervisor.process import ProcessRunner, child_environment, role_argv
from infra.supervisor.supervisor import Child, Supervisor
from infra.tracing import check_tracing
from schemas.bundle import read_folder
from schemas.errors import SetupError

log = structlog.get_logger(__name__)

PLANT = "plant"
_ROLES_STOP_TIMEOUT_S = 5.5
_SERVERS_STOP_TIMEOUT_S = 3.5
"""Together less than the 10 s in which everything has to be gone."""
_LOOK_S = 0.2
_SCRAPED_LOOK_S = 2.0
_DEMO = "demo"
"""Who deploys examples, for the history."""

_COMPILING_S = 300.0
"""The worker has just been started, and compiles for the first time."""
_PATIENCE_S = 5.0
_PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demonstration adds.

    Attributes:
        example: Name of the example whose twin type and devices are shown.
        twins: Simulated devices.
        speed: Simulated seconds per second.
        plant: Whether there are simulated devices at all.
        duration_s: Stop this long after ready; None goes on.
    """

    example: str = "incubator"
    twins: int = 3
    speed: float = 1.0
    plant: bool = True
    duration_s: float | None = None


class Instance:
    """Everything in one tree of processes.

    Args:
        settings: As the user gave them.
        console: Where progress goes.
        demo: What the demonstration adds, None for `up`.
    """

    def __init__(self, settings: Settings, console: Console, demo: Demo | None = None) -> None:
        self._settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
        self._console = console
        self._demo = demo
        self._registry = Registry(self._settings.data_dir)
        self._logs = self._settings.data_dir / LOG_FOLDER

    async def run(self) -> int:
        """Run until SIGINT or SIGTERM, or for the demonstration's duration.

        Returns:
            Exit code 0.

        Raises:
            SetupError: it can't be started; the message says what to do.
        """
        task = asyncio.current_task()
        stopping = asyncio.Event()

        def stop() -> None:
            if not stopping.is_set() and task is not None:
                stopping.set()
                self._console.step("stopping")
                task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        try:
            with InstanceLock(self._settings.data_dir):
                await self._run()
        except asyncio.CancelledError:
            if not stopping.is_set():
                raise
        self._console.step("stopped")
        return 0

    async def _run(self) -> None:
        settings = self._settings
        check_listening(settings)
        check_tracing()
        check_ports(settings)
        if self._demo is not None:
            example(self._demo.example)  # asked early: a clone that is incomplete is told before anything is started
        self._registry.clear()
        configure(
            SUPERVISOR,
            log_dir=self._logs,
            level=settings.logs.level,
            secrets=secrets_of(settings),
            console=None,
        )
        presence = Presence(self._registry, SUPERVISOR)

        def changed(views: tuple[ChildView, ...]) -> None:
            presence.change(children=views)

        try:
            async with Supervisor(
                tell=self._console.tell, changed=changed, stop_timeout_s=_SERVERS_STOP_TIMEOUT_S
            ) as supervisor:
                servers = embedded_servers(settings)
                resolved = await self._start_servers(supervisor, servers)
                presence.change(url=resolved.http.url)
                roles = [*roles_of(resolved), PLANT]
                try:
                    await self._work(supervisor, resolved, presence)
                finally:
                    # Roles first: what they flush needs the servers.
                    running = [view.name for view in supervisor.view() if view.name in roles]
                    await supervisor.stop(running, timeout_s=_ROLES_STOP_TIMEOUT_S)
        finally:
            presence.withdraw()
            self._registry.config.unlink(missing_ok=True)
            self._registry.clear()

    async def _start_servers(self, supervisor: Supervisor, names: list[str]) -> Settings:
        """Start the embedded servers; returns the settings with every address known."""
        settings = self._settings
        if names:
            self._console.step(f"starting {', '.join(names)} (logs in {self._logs})")
        servers = await InstanceServers(settings, self._registry).start(supervisor, names)
        resolved = resolve(settings, servers, settings.http.port or free_port())
        write_private(resolved, self._registry.config)
        return resolved

    async def _work(self, supervisor: Supervisor, resolved: Settings, presence: Presence) -> None:
        if self._settings.mqtt.url is None:
            self._console.step(survived(resolved.mqtt.queue_limit))
        if not self._settings.kafka.embedded:
            self._console.step(f"using Kafka at {resolved.kafka.bootstrap_servers}, waiting for it if it is away")
        # Asked here first: what is wrong with the topics is then one line, not one of every role.
        await make_shared_topics(resolved)
        roles = roles_of(resolved)
        if "bridge:amqp" not in roles:
            self._console.step("the AMQP bridge is off: amqp.url is not set")
        self._console.step(f"starting {', '.join(roles)}")
        for name, arguments in roles.items():
            supervisor.add(Child(name, partial(self._process, name, role_argv(*arguments))))
        if self._demo is not None:
            await self._deploy_example(resolved, self._demo)
        await self._until_ready(supervisor, resolved)
        if self._demo is not None and self._demo.plant:
            supervisor.add(Child(PLANT, partial(self._plant, resolved, self._demo)))
            await supervisor.first_start(PLANT)
            self._console.step(
                f"simulating {self._demo.twins} devices of the example {self._demo.example}, "
                f"{self._demo.speed:g} simulated seconds per second"
            )
        scraped = ScrapeFile(self._settings.data_dir)
        scraped.write(self._registry.read())
        presence.change(ready=True)
        urls = urls_of(resolved)
        for name, url in urls.items():
            self._console.url(name, url)
        self._console.ready("ready (Ctrl-C stops everything)", urls=urls)
        duration_s = None if self._demo is None else self._demo.duration_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                while True:
                    await asyncio.sleep(_SCRAPED_LOOK_S)
                    scraped.write(self._registry.read())
        self._console.step(f"stopping after {duration_s:g} s")

    async def _deploy_example(self, resolved: Settings, demo: Demo) -> None:
        bundle = read_folder(example(demo.example))
        self._console.step(f"deploying the twin type {bundle.definition().type_name}")
        # At another speed event time runs away from the time of arrival.
        shown = bundle if demo.speed == 1.0 else without_ahead_check(bundle)
        deployed = await deploy(resolved, shown, who=_DEMO, own_only=True, patience_s=_COMPILING_S)
        if deployed.who != _DEMO:
            by = deployed.who or "somebody"
            self._console.step(f"going on with {deployed.type} {deployed.version}, which {by} put into force")

    async def _until_ready(self, supervisor: Supervisor, resolved: Settings) -> None:
        """Wait until everything is up, saying what is still missing.

        Raises:
            SetupError: a role says that it can't work as things are.
        """
        loop = asyncio.get_running_loop()
        next_word_s, said = loop.time() + _PATIENCE_S, ""
        ready = False
        while not ready:
            shown = local_secret(resolved.data_dir)
            ready = await asyncio.to_thread(answers, f"{resolved.http.url}/readyz", shown)
            if failed := supervisor.failed_as_expected():
                message = f"{', '.join(failed)} can't work as things are: the reason is above and in {self._logs}"
                raise SetupError(message)
            if loop.time() > next_word_s:
                missing = self._registry.unready()
                text = "; ".join(f"{name}: {what}" for name, what in sorted(missing.items())) or "the API"
                if text != said:
                    self._console.step(f"waiting for {text}")
                next_word_s, said = loop.time() + _PATIENCE_S, text
            await asyncio.sleep(_LOOK_S)

    def _process(self, name: str, argv: tuple[str, ...], env: dict[str, str] | None = None) -> ProcessRunner:
        return ProcessRunner(
            argv,
            env=child_environment(self._registry.config) | (env or {}),
            error_log=self._logs / f"{name.replace(':', '-')}.err",
            say=self._console.say,
        )

    def _plant(self, resolved: Settings, demo: Demo) -> ProcessRunner:
        clock_file = self._settings.data_dir / f"{demo.example}-clock"
        arguments = ["--twins", str(demo.twins), "--speed", f"{demo.speed:g}", "--clock-file", str(clock_file)]
        script = example(demo.example) / PLANT_FILE
        # The broker's address may hold a password: it goes into the environment, not onto the command line.
        environment = {"TWINSTREAM_MQTT__URL": mqtt_url(resolved)}
        return self._process(PLANT, role_argv("script", PLANT, str(script), *arguments), environment)


def answers(url: str, token: str = "") -> bool:
    """Whether an HTTP GET, with a bearer token if one is given, is answered by 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    try:
        with opener.open(request, timeout=_PROBE_TIMEOUT_S) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's number
    except (OSError, urllib.error.URLError):
        return False


async def run_instance(settings: Settings, console: Console, demo: Demo | None = None) -> int:
    """Run an instance until it is told to stop."""
    return await Instance(settings, console, demo).run()
