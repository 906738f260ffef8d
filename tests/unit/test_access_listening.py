"""Where the API may listen without tokens."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.access.listening import check_listening
from infra.access.loopback import is_loopback
from infra.settings import Settings
from schemas.errors import SetupError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_needs_no_tokens(host: str) -> None:
    check_listening(Settings.model_validate({"http": {"host": host}}))
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "192.168.1.2", "twins.example", "127.0.0.1.example", "127.1", "", "::ffff:10.0.0.1"],  # noqa: S104
)
def test_any_other_address_is_refused_without_tokens_and_the_missing_setting_named(host: str) -> None:
    with pytest.raises(SetupError, match=r"auth\.required is missing"):
        check_listening(Settings.model_validate({"http": {"host": host}}))
    check_listening(Settings.model_validate({"http": {"host": host}, "auth": {"required": True}}))


def test_a_public_url_elsewhere_is_refused_without_tokens_too() -> None:
    check_listening(Settings.model_validate({"http": {"public_url": "https://localhost:8443"}}))
    elsewhere = {"http": {"public_url": "https://twins.example.org"}}
    with pytest.raises(SetupError, match=r"http\.public_url is https://twins\.example\.org.*auth\.required is missing"):
        check_listening(Settings.model_validate(elsewhere))
    check_listening(Settings.model_validate(elsewhere | {"auth": {"required": True}}))


@pytest.mark.parametrize("command", ["up", "demo", "api"])
def test_no_command_starts_where_others_could_call_without_a_token(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra", command, "--data-dir", str(tmp_path / "d")],
        env={"TWINSTREAM_HTTP__HOST": "0.0.0.0", "PATH": "/usr/bin:/bin"},  # noqa: S104 - that is the fault
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "auth.required" in done.stdout + done.stderr
