"""Which stores the settings mean."""

from connectors.settings import MetadataSettings
from infra.settings import Settings
from schemas.errors import SetupError


def documents_settings(settings: Settings) -> MetadataSettings:
    """Where the document server is.

    Raises:
        SetupError: the embedded one is meant, which only `up` and `demo` start.
    """
    if settings.metadata.embedded:
        message = (
            "metadata.url is not set, and no instance that started the embedded document server runs in"
            f" {settings.data_dir}: set metadata.url or TWINSTREAM_METADATA__URL, or name its --data-dir"
        )
        raise SetupError(message)
    return settings.metadata
