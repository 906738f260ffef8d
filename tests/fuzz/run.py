"""Runs one target of `fuzz.targets` under atheris, which follows what the code covers; started by `scripts/fuzz`.

usage: run.py TARGET SECONDS CORPUS_FOLDER
"""

import contextlib
import sys
from pathlib import Path

import atheris

# Compilers are off (NUMBA_DISABLE_JIT): what numba reads to compile it can't be instrumented.
_FOLLOWED = [
    *("schemas", "connectors", "infra.http", "infra.masking", "infra.printable", "infra.settings_file"),
    *("streams.batches", "streams.decompression", "twins.telemetry", "twins.bulk_json", "twins.requests"),
    *("twins.acknowledgements", "twins.record", "twins.dead_letters"),
]

_WRAPPING = {"record_batches"}

with atheris.instrument_imports(include=_FOLLOWED):
    from fuzz.targets import SEEDS, TARGETS


def main() -> None:
    """Run until the time is over or an input breaks the target, which is then written beside the corpus."""
    name, seconds, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    corpus = folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS.get(name, [b"{}"])):
        (corpus / f"seed-{number}").write_bytes(seed)
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        "-timeout=20",
        "-rss_limit_mb=3000",
        "-max_len=4096",
        "-print_final_stats=1",
        f"-artifact_prefix={folder}/{name}-",
        str(corpus),
    ]

    def followed(data: bytes) -> None:
        # Compiled, a sum that is too large for its column wraps.
        with contextlib.suppress(*[OverflowError] if name in _WRAPPING else []):
            TARGETS[name](data)

    atheris.Setup(arguments, followed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
