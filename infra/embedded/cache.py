"""The user's cache directory: what is downloaded or built once and serves every data directory."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """`TWINSTREAM_CACHE`, else `twinstream` in the user's cache directory; it need not exist yet."""
    chosen = os.environ.get("TWINSTREAM_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "twinstream"
