"""Which instance a client command talks to."""

from pathlib import Path
from typing import TYPE_CHECKING

from infra.cli.options import read_settings
from infra.cli.output import fail
from infra.registry import Registry

if TYPE_CHECKING:
    from infra.cli.client import Api


def connect(url: str | None, data_dir: Path | None, config: Path | None) -> "Api":
    """The API at `url`, else of the instance in the data directory; ends the command when none runs there.

    It is shown the token that `TWINSTREAM_TOKEN` holds, else, in the data directory, what lets its owner in.
    """
    from infra.cli.client import Api, token_to_show  # noqa: PLC0415 - as in the commands: `--help` answers at once

    if url:
        return Api(url.rstrip("/"), token_to_show())
    settings = read_settings(config, data_dir)
    found = Registry(settings.data_dir).find("api")
    if found is None or not found.url:
        fail(
            f"no running instance in {settings.data_dir}: start one with `twinstream up`,"
            " or name another with --data-dir or --url"
        )
    return Api(found.url, token_to_show(settings.data_dir))
