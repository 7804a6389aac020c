"""`offhook models`, from the command line to a host over HTTPS and back."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from engines.models.settings import ModelSettings
from engines.models.store import ModelStore
from gateway.cli import app
from tests.fakes.model_host import Fault, ModelHost, make_certificate, model_host

WEIGHTS = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def host(certificate: tuple[Path, Path]) -> Iterator[ModelHost]:
    with model_host(*certificate) as serving:
        serving.files["/en.onnx"] = WEIGHTS
        yield serving


@pytest.fixture
def environment(tmp_path: Path, certificate: tuple[Path, Path]) -> dict[str, str]:
    return {
        "OFFHOOK_MODELS__FOLDER": str(tmp_path / "cache"),
        "OFFHOOK_MODELS__CA_FILE": str(certificate[0]),
        "OFFHOOK_MODELS__TRIES": "1",
        "COLUMNS": "300",
    }


class Models:
    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, *arguments: str) -> Result:
        environment = {"OFFHOOK_CONFIG": None, **self._environment}
        return CliRunner().invoke(app, ["models", *arguments], env=environment)


@pytest.fixture
def offhook(environment: dict[str, str]) -> Models:
    return Models(environment)


def test_a_model_is_pulled_listed_verified_and_removed(
    offhook: Models, host: ModelHost, tmp_path: Path
) -> None:
    url = host.url("/en.onnx?key=hush")
    pulled = offhook("pull", url, "--sha256", DIGEST)
    assert pulled.exit_code == 0
    path = Path(pulled.stdout.strip())
    assert path.read_bytes() == WEIGHTS
    assert "downloading 100 %" in pulled.stderr and "hush" not in pulled.output
    listed = offhook("list").stdout
    assert DIGEST[:12] in listed and "/en.onnx" in listed and "hush" not in listed
    assert "parakeet-realtime-eou" in listed and "CC-BY-4.0" in listed
    assert offhook("verify").exit_code == 0
    path.write_bytes(b"other")
    verified = offhook("verify", "en.onnx")
    assert verified.exit_code == 1 and "broken: en.onnx" in verified.stdout
    assert offhook("rm", DIGEST[:8]).exit_code == 0
    assert not path.exists()
    gone = offhook("rm", DIGEST[:8])
    assert gone.exit_code == 1 and "no such model" in gone.stdout
    assert offhook("verify", "en.onnx").exit_code == 1


def test_what_is_in_use_stays(offhook: Models, host: ModelHost, environment: dict[str, str]) -> None:
    settings = ModelSettings(
        folder=environment["OFFHOOK_MODELS__FOLDER"], ca_file=environment["OFFHOOK_MODELS__CA_FILE"]
    )
    store = ModelStore(settings)
    path = store.path(host.url("/en.onnx"), DIGEST)
    assert "in use" in offhook("list").stdout
    kept = offhook("rm", "en.onnx")
    assert kept.exit_code == 1 and "in use" in kept.stdout and path.exists()
    store.close()
    assert offhook("rm", "en.onnx").exit_code == 0


def test_failures_say_the_cure_and_how_to_go_on(offhook: Models, host: ModelHost) -> None:
    unpinned = offhook("pull", host.url("/en.onnx"))
    assert unpinned.exit_code == 1 and "--sha256" in unpinned.stderr and unpinned.stdout == ""
    host.etags["/en.onnx"] = '"one"'
    host.faults = [Fault(cut_after=100_000), Fault(status=503)]
    cut = offhook("pull", host.url("/en.onnx"), "--sha256", DIGEST)
    assert cut.exit_code == 1 and "goes on there" in cut.stderr
    assert "0.1 MB of an unfinished download" in offhook("list").stdout
    assert offhook("pull", host.url("/en.onnx"), "--sha256", DIGEST).exit_code == 0
    assert host.asked[-1].headers["range"] == "bytes=100000-"
    wrong = offhook("pull", host.url("/en.onnx"), "--sha256", "0" * 64)
    assert wrong.exit_code == 1 and "check both with the publisher" in wrong.stderr


def test_an_unfinished_download_can_be_removed(offhook: Models, host: ModelHost) -> None:
    host.faults = [Fault(cut_after=100_000), Fault(status=503)]
    offhook("pull", host.url("/en.onnx"), "--sha256", DIGEST)
    assert offhook("rm", DIGEST[:8]).exit_code == 0
    assert "unfinished download;" not in offhook("list").stdout


@pytest.mark.parametrize("command", ["list", "pull", "verify", "rm"])
def test_each_command_tells_its_exit_codes(offhook: Models, command: str) -> None:
    assert "Exit code 0" in " ".join(offhook(command, "--help").stdout.split()).replace(
        "exit code", "Exit code"
    )


def test_a_configuration_that_cannot_be_used_is_2(offhook: Models, environment: dict[str, str]) -> None:
    environment["OFFHOOK_MODELS__TRIES"] = "many"
    assert offhook("list").exit_code == 2


def test_importing_the_command_line_imports_no_engine() -> None:
    code = "import sys, gateway.cli; print([m for m in ('httpx', 'numpy', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "httpx" not in done.stdout and "numpy" not in done.stdout
