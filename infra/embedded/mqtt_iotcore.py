"""The `iotcore` broker as a process; run by path with its TOML file as the argument, imports nothing of ours."""

import logging
import os
import signal
import sys

from iotcore import IotCoreBroker


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # It wraps the routing of every message in spans of level ERROR.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    # It never returns to Python, so a Python handler would never run; there is nothing to save.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        IotCoreBroker(config_path=sys.argv[1]).run_forever()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
