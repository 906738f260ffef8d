"""Type workers as processes that tests start, freeze and kill."""

from collections.abc import Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from support.role_process import CLI, RoleProcess

from infra.registry import Registry, RunFile
from infra.scraping import exposition_at


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

    def figure(self, name: str, **labels: str) -> float:
        """Sum of a metric over all series that have these labels, 0 while there is none."""
        text = exposition_at(self.port()) or ""
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def _found(self) -> RunFile | None:
        return Registry(self._data_dir).find(self.role)
