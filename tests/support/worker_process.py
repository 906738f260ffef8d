"""Type workers as processes that tests start, freeze and kill."""

from collections.abc import Sequence
from pathlib import Path

from support.role_process import CLI, RoleProcess

from infra.registry import Registry, RunFile


class WorkerProcess(RoleProcess):
    """One `type-worker` of its own data directory."""

    def __init__(
        self,
        type_name: str,
        bootstrap_servers: str,
        data_dir: Path,
        program: Sequence[str] = CLI,
        **environment: str,
    ) -> None:
        variables = {
            "TWINSTREAM_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
            "TWINSTREAM_ENGINE__SESSION_TIMEOUT_S": "6",
            **environment,
        }
        super().__init__(("type-worker", "--type", type_name), f"worker:{type_name}", data_dir, variables, program)

    def joined(self) -> bool:
        """Whether it has partitions, or had them; then it also answers SIGTERM by a clean stop."""
        return self.ready()

    def port(self) -> int:
        """Of its metrics, 0 while it has none."""
        found = self._found()
        return (found.port or 0) if found else 0

    def detail(self) -> str:
        """What it tells of itself."""
        found = self._found()
        return found.detail if found else ""

    def _found(self) -> RunFile | None:
        return Registry(self._data_dir).find(self.role)
