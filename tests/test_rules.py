"""House rules held by tests: who may import whom, which library lives where, who reads the clock."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("media", "engines", "gateway", "license")
FOLDERS = (*OURS, "callers", "demo", "benchmarks")

# Folder → prefixes of our own modules that it may import. The longest matching folder decides.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "media": ("media",),
    "engines": ("engines", "media.frame", "media.clock", "media.resample", "media.g711", "media.wav_header"),
    "gateway": (
        "gateway",
        "media",
        "engines.base",
        "engines.fleet",
        "engines.fleet_redis",
        "engines.fleet_static",
        "engines.models",
        "engines.redis_client",
        "engines.redis_url",
        "engines.registry",
        "engines.router",
        "engines.speech_cache",
        "engines.text",
        "engines.traits",
        "engines.worker",
        "engines.worker_settings",
        "license.client", "license.command", "license.journal", "license.keeper", "license.outbox",
        "license.standing",
        "license.usage",
    ),
    "license": ("license",),
}  # fmt: skip

# Third-party module → the files (as regular expressions) that may import it.
FENCES: dict[str, str] = {
    "pjsua2": r"media/legs/sip\w*\.py",
    "framebus": r"media/legs/(sip\w*|frame_reader)\.py",
    "aiortc": r"media/legs/webrtc\w*\.py",
    "aioice": r"media/legs/webrtc\w*\.py",
    "pylibsrtp": r"media/legs/webrtc\w*\.py",
    "onnxruntime": r"(engines/embedded/\w+|media/vad\w*)\.py",
    "hibari": r"engines/embedded/\w+\.py",
    "webrtcvad": r"media/vad\w*\.py",
    "torch": r"engines/(nemo/(attention\w*|ctc|device|frontend|graphs|heads|load|model|rnnt)"
    r"|coqui/(vits_model|weights|xtts_(model|rows|voices)))\.py",
    "TTS": r"engines/coqui/(vits|xtts)_model\.py",
    "transformers": r"engines/coqui/xtts_rows\.py",
    "soundfile": r"engines/coqui/xtts_voices\.py",
    "nemo": r"engines/nemo/load\.py",
    "av": r"(gateway/audio/\w+|gateway/api/core/audio_packed|media/legs/webrtc\w*)\.py",
    "python_multipart": r"gateway/audio/multipart\.py",
    "httpcore": r"gateway/audio/outbound\.py",
    "fastapi": r"(gateway/api/(\w+/)?\w+|license/(proxy|vendor|serving))\.py",
    "uvicorn": r"(gateway/api/\w+|license/serving)\.py",
    "cryptography": r"(license/signature|engines/models/minisign)\.py",
    "prometheus_client": r"(gateway/(metrics|api/\w+)|engines/worker_metrics)\.py",
    "grpc": r"engines/riva/wire\.py",
    "grpc_health": r"engines/riva/wire\.py",
    "grpc_reflection": r"engines/riva/wire\.py",
    "riva": r"engines/riva/wire\.py",
    "openai": r"gateway/agents/\w+\.py",
    "redis": r"(engines/redis_client|gateway/store/\w+)\.py",
    "fakeredis": r"gateway/store/\w+\.py",
}


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Names of every module imported anywhere in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def allowed(folder: str, module: str) -> bool:
    return any(module == good or module.startswith(good + ".") for good in MAY_IMPORT[folder])


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", OURS)
def test_folders_import_only_downwards(folder: str) -> None:
    offences = [
        f"{name(path)} imports {module}"
        for path in sources()
        if name(path).startswith(folder + "/")
        for module in sorted(imports(path))
        if module.split(".")[0] in OURS and not allowed(folder, module)
    ]
    assert offences == []


def test_each_library_stays_behind_its_fence() -> None:
    offences = [
        f"{name(path)} imports {module}"
        for path in sources()
        if name(path).startswith(tuple(folder + "/" for folder in OURS))
        for module in sorted(imports(path))
        for library, fence in FENCES.items()
        if module.split(".")[0] == library and not re.fullmatch(fence, name(path))
    ]
    assert offences == []


def test_a_planted_offence_is_caught(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("from gateway.config import Config\nimport pjsua2\n")
    assert imports(planted) == {"gateway.config.Config", "pjsua2"}
    assert not allowed("media", "gateway.config.Config")


def test_nobody_reads_the_wall_clock_inside_a_call() -> None:
    offences = [
        name(path)
        for path in sources()
        if name(path).startswith(("media/", "engines/", "gateway/calls/"))
        and re.search(
            r"\btime\.time\(|\bdatetime\.now\(|\bdatetime\.utcnow\(", path.read_text(encoding="utf-8")
        )
    ]
    assert offences == []


def test_every_top_level_folder_shows_its_rooms() -> None:
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))]
    tracked = [
        path for path in folders if path.name not in {"build", "dist", "recordings"} and path.suffix == ""
    ]
    assert [path.name for path in tracked if not (path / "README.md").exists()] == []
