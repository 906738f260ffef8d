"""Whatever a worker compiles is compiled before its event loop runs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
from pathlib import Path

from numba.core.dispatcher import Dispatcher
from support.oracle import load_type
from support.stepping import LINEAGE, TWINS

from streams.block import Block
from streams.fetch import fetch_blocks_of
from twins.processor import TwinProcessor


def compiled():
    return {
        (name, attribute): len(value.signatures)
        for name, module in sys.modules.items()
        if name.split(".")[0] in {"streams", "twins"}
        for attribute, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }


fetch_blocks_of(["t"])
processor = TwinProcessor.of(load_type(Path("tests/types/statistics"), "content", Path(sys.argv[1])), LINEAGE)
before = compiled()
stamp = [("ts-received", b"1700000000000000000"), ("ts-kind", b"telemetry")]
odd = [("ts-kind", b"odd")]
value = b'{"value": 60.5, "time": 1700000000000000000, "seq": 1, "boot": "x"}'
blocks = [
    Block.of_records(0, [(at, 0, twin, value, headers)])
    for at, (twin, headers) in enumerate([(TWINS[0], ()), (TWINS[1], stamp), (TWINS[0], odd), (TWINS[2], stamp)])
]
for block in (*blocks, Block.joined(blocks)):
    processor.process(block)
processor.snapshot()
assert len(before) > 10, before
late = {place: count for place, count in compiled().items() if count != before[place]}
assert not late, late
"""


def test_no_block_compiles_anything(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
