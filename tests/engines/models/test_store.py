"""Models from elsewhere, over real HTTPS that fails in every way a network can."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.models.base import ModelError, ModelUnfit, ModelUnreachable, warming
from engines.models.download import disk_told
from engines.models.local import LocalModels
from engines.models.outside import Outside
from engines.models.progress import Progress, in_words
from engines.models.store import ModelStore
from tests.fakes.model_host import Fault, ModelHost

Make = Callable[..., ModelStore]

WEIGHTS = random.Random(1).randbytes(300_000)
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
OTHER = random.Random(2).randbytes(300_000)


@pytest.fixture(autouse=True)
def weights(host: ModelHost) -> None:
    host.files["/m/a.onnx"] = WEIGHTS
    host.etags["/m/a.onnx"] = '"one"'


def url(host: ModelHost) -> str:
    return host.url("/m/a.onnx")


def ranges(host: ModelHost) -> list[str]:
    return [asked.headers.get("range", "") for asked in host.asked]


def test_a_model_comes_once_and_then_lies_here(host: ModelHost, store: Make) -> None:
    told: list[str] = []
    first = store(in_words(told.append))
    path = first.path(url(host), DIGEST)
    assert path.read_bytes() == WEIGHTS and path.name == "a.onnx"
    assert told[0] == "downloading 0 %" and "downloading 100 %" in told and told[-1] == "loading"
    assert store().path(url(host), DIGEST.upper()) == path
    assert len(host.asked) == 1
    assert host.asked[0].headers["accept-encoding"] == "identity"


def test_an_engine_that_loads_by_itself_can_tell_that_it_warms_up(store: Make) -> None:
    told: list[str] = []
    warming(store(in_words(told.append)))
    warming(LocalModels())
    assert told == ["warming"]


def test_what_comes_from_elsewhere_needs_a_digest(host: ModelHost, store: Make) -> None:
    with pytest.raises(ModelError, match=r"needs its sha256.*models\.pins"):
        store().path(url(host))
    with pytest.raises(ModelError, match="64 hexadecimal"):
        store().path(url(host), "cafe")
    assert host.asked == []
    pinned = store(pins={url(host): DIGEST})
    assert pinned.path(url(host)).read_bytes() == WEIGHTS


def test_another_content_than_was_pinned_is_refused_and_leaves_nothing(host: ModelHost, store: Make) -> None:
    made = store()
    host.files["/m/a.onnx"] = OTHER
    with pytest.raises(ModelUnfit, match=DIGEST):
        made.path(url(host), DIGEST)
    assert made.entries() == [] and made.parts() == []
    assert len(host.asked) == 1


def test_a_cut_download_goes_on_where_it_stopped(host: ModelHost, store: Make) -> None:
    host.faults = [Fault(cut_after=100_000), Fault(cut_after=0), Fault(status=503), Fault(cut_after=50_000)]
    assert store().path(url(host), DIGEST).read_bytes() == WEIGHTS
    assert ranges(host) == ["", *["bytes=100000-"] * 3, "bytes=150000-"]
    assert {asked.headers.get("if-range", '"one"') for asked in host.asked} == {'"one"'}


def test_silence_and_trickles_are_cut_and_taken_up_again(host: ModelHost, store: Make) -> None:
    host.faults = [Fault(cut_after=100_000, hangs=True), Fault(trickle=0.01)]
    began = time.monotonic()
    assert store().path(url(host), DIGEST).read_bytes() == WEIGHTS
    assert 0.7 < time.monotonic() - began < 5.0
    assert len(host.asked) == 3
    assert int(ranges(host)[2].removeprefix("bytes=").rstrip("-")) > 100_000


def test_a_source_that_changed_is_begun_anew(host: ModelHost, store: Make) -> None:
    host.faults = [Fault(cut_after=100_000)]
    made = store(tries=1)
    with pytest.raises(ModelUnreachable, match="what came is kept"):
        # The one try that is left after the cut meets a server that is gone.
        host.faults.append(Fault(status=503))
        made.path(url(host), DIGEST)
    assert made.parts() == [(DIGEST, 100_000)]
    host.files["/m/a.onnx"], host.etags["/m/a.onnx"] = OTHER, '"two"'
    other = hashlib.sha256(OTHER).hexdigest()
    part = made.folder / "partial" / f"{DIGEST}"
    for suffix in (".part", ".json"):
        part.with_suffix(suffix).rename(part.with_name(other + suffix))
    assert made.path(url(host), other).read_bytes() == OTHER
    assert host.asked[-1].headers["if-range"] == '"one"'


def test_without_ranges_or_a_name_for_the_version_it_begins_anew(host: ModelHost, store: Make) -> None:
    host.ranges = False
    host.faults = [Fault(cut_after=100_000)]
    assert store().path(url(host), DIGEST).read_bytes() == WEIGHTS
    host.ranges, host.etags = True, {"/m/a.onnx": 'W/"weak"'}
    host.faults = [Fault(cut_after=100_000)]
    again = store(folder=str(store().folder / "again"))
    assert again.path(url(host), DIGEST).read_bytes() == WEIGHTS
    assert ranges(host) == ["", "bytes=100000-", "", ""]


def test_pieces_that_do_not_fit_are_fetched_whole_once(host: ModelHost, store: Make) -> None:
    made = store()
    host.faults = [Fault(cut_after=100_000)] + [Fault(status=500)] * 3
    with pytest.raises(ModelUnreachable):
        made.path(url(host), DIGEST)
    part = made.folder / "partial" / f"{DIGEST}.part"
    part.write_bytes(bytes(100_000))
    assert made.path(url(host), DIGEST).read_bytes() == WEIGHTS
    assert ranges(host)[-2:] == ["bytes=100000-", ""]


def test_a_part_longer_than_the_file_is_thrown_away(host: ModelHost, store: Make) -> None:
    made = store()
    host.faults = [Fault(cut_after=100_000)] + [Fault(status=500)] * 3
    with pytest.raises(ModelUnreachable):
        made.path(url(host), DIGEST)
    part = made.folder / "partial" / f"{DIGEST}.part"
    part.write_bytes(bytes(400_000))
    assert made.path(url(host), DIGEST).read_bytes() == WEIGHTS


def test_a_body_of_unknown_length_is_taken_too(host: ModelHost, store: Make) -> None:
    host.tells_length = False
    told: list[str] = []
    assert store(in_words(told.append)).path(url(host), DIGEST).read_bytes() == WEIGHTS
    assert told[0] == "downloading"


def test_tries_that_bring_nothing_have_an_end_and_wait_longer_each(host: ModelHost, store: Make) -> None:
    pauses: list[float] = []
    host.faults = [Fault(status=503, headers={"Retry-After": "7"})] + [Fault(status=429)] * 9
    made = store(outside=Outside(sleep=pauses.append), tries=4)
    with pytest.raises(ModelUnreachable, match=r"429.*4 tries") as failed:
        made.path(url(host), DIGEST)
    assert failed.value.retryable
    assert sum(pauses) == 7.0 + 2.0 + 4.0 and max(pauses) == 0.5
    assert len(host.asked) == 4


def test_the_whole_has_a_deadline(host: ModelHost, store: Make) -> None:
    host.faults = [Fault(cut_after=1000 * (n + 1)) for n in range(20)]
    clock = iter(range(0, 10_000, 20))
    made = store(outside=Outside(clock=lambda: float(next(clock)), sleep=lambda s: None), total_seconds=200.0)
    with pytest.raises(ModelUnreachable, match=r"total_seconds|no time is left"):
        made.path(url(host), DIGEST)


@pytest.mark.parametrize(("status", "cure"), [(401, "models.token"), (403, "key"), (404, "address")])
def test_refusals_are_final_and_say_the_cure(host: ModelHost, store: Make, status: int, cure: str) -> None:
    host.faults = [Fault(status=status)]
    with pytest.raises(ModelError, match=cure) as failed:
        store().path(url(host), DIGEST)
    assert not failed.value.retryable
    assert len(host.asked) == 1


def test_redirects_are_followed_to_https_alone(host: ModelHost, store: Make) -> None:
    there = host.url("/m/a.onnx") + "?signature=hush"
    host.faults = [Fault(status=302, headers={"Location": there})]
    assert store().path(host.url("/elsewhere"), DIGEST).read_bytes() == WEIGHTS
    host.faults = [Fault(status=302, headers={"Location": f"http://localhost:{host.port}/m/a.onnx?key=hush"})]
    other = store(folder=str(store().folder / "other"))
    with pytest.raises(ModelError, match="only https") as failed:
        other.path(url(host), DIGEST)
    assert "hush" not in str(failed.value)
    host.faults = [Fault(status=302, headers={"Location": "/again"})] * 10
    with pytest.raises(ModelError, match="more than 5 redirects"):
        other.path(url(host), DIGEST)


def test_a_token_goes_to_its_host_and_nowhere_else(host: ModelHost, store: Make) -> None:
    here = f"localhost:{host.port}"
    host.faults = [
        Fault(status=307, headers={"Location": host.url("/m/a.onnx").replace("localhost", "127.0.0.1")})
    ]
    with pytest.raises(ModelUnreachable):  # that name is not in the certificate
        store(token="hush", token_host=here, tries=1).path(url(host), DIGEST)
    assert host.asked[0].headers["authorization"] == "Bearer hush"
    assert len(host.asked) == 1
    host.asked.clear()
    store(token="hush", token_host="elsewhere").path(url(host), DIGEST)
    assert "authorization" not in host.asked[0].headers


def test_s3_addresses_are_signed_for_the_endpoint(host: ModelHost, store: Make) -> None:
    host.files["/models/big/a%20b.onnx"] = WEIGHTS
    made = store(s3_endpoint=host.url(""), s3_access_key="AK", s3_secret_key="hush")
    assert made.path("s3://models/big/a b.onnx", DIGEST).read_bytes() == WEIGHTS
    headers = host.asked[0].headers
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK/")
    assert headers["host"] == f"localhost:{host.port}"
    with pytest.raises(ModelError, match="s3_endpoint"):
        store().path("s3://models/a.onnx", DIGEST)
    with pytest.raises(ModelError, match="s3://bucket/key"):
        made.path("s3://models", DIGEST)


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("http://host/a.nemo", "http: is not taken"),
        ("ftp://host/a.nemo", "ftp: is not taken"),
        ("https:///a.nemo", "names no host"),
        ("https://me:hush@host/a.nemo", "models.token"),
        ("https://[::1/a.nemo", "address is none"),
        ("parakeet", "no model is called 'parakeet'.*parakeet-realtime-eou"),
    ],
)
def test_sources_that_are_not_taken_say_why(store: Make, source: str, match: str) -> None:
    with pytest.raises(ModelError, match=match) as failed:
        store().path(source, DIGEST)
    assert "hush" not in str(failed.value)


def test_a_full_disk_is_told_before_anything_is_written(host: ModelHost, store: Make) -> None:
    outside = Outside(free=lambda folder: 1_200_000, sleep=lambda s: None)
    made = store(outside=outside, keep_free_gb=0.001)
    with pytest.raises(ModelError, match=r"0\.00 GB.*models\.folder"):
        made.path(url(host), DIGEST)
    assert made.parts() == []
    with pytest.raises(ModelError, match=r"models\.largest_gb"):
        store(largest_gb=0.0001).path(url(host), DIGEST)
    roomy = Outside(free=lambda folder: 1_400_000, sleep=lambda s: None)
    assert store(outside=roomy, keep_free_gb=0.001).path(url(host), DIGEST)


def test_a_disk_that_fills_up_meanwhile_is_told_too(host: ModelHost, store: Make, tmp_path: Path) -> None:
    host.tells_length = False
    host.files["/m/a.onnx"] = bytes(70_000_000)
    made = store(outside=Outside(free=lambda folder: 0, sleep=lambda s: None), keep_free_gb=0.001)
    with pytest.raises(ModelError, match="must stay free"):
        made.path(url(host), DIGEST)
    assert made.entries() == []
    with pytest.raises(ModelError, match=r"the disk is full.*models\.folder"), disk_told(tmp_path / "a.part"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ModelError, match="Input/output error"), disk_told(tmp_path / "a.part"):
        raise OSError(errno.EIO, "Input/output error")


def test_memory_is_looked_at_before_a_download_and_before_loading(
    host: ModelHost, store: Make, tmp_path: Path
) -> None:
    small = Outside(ram=lambda: 200_000, sleep=lambda s: None)
    with pytest.raises(ModelError, match="memory are free"):
        store(outside=small).path(url(host), DIGEST)
    assert store(outside=small).parts() == []
    entry = store(outside=small).pull(url(host), DIGEST)
    with pytest.raises(ModelError, match="smaller model"):
        store(outside=small).path(str(entry.model))


def test_two_processes_share_one_download(
    host: ModelHost, store: Make, certificate: tuple[Path, Path]
) -> None:
    host.faults = [Fault(cut_after=150_000, hangs=True)]
    made = store()
    first = puller(made.folder, certificate[0], url(host))
    wait_for(lambda: dict(made.parts()).get(DIGEST, 0) >= 150_000)
    told: list[str] = []

    def watch(progress: Progress) -> None:
        told.append(str(progress))
        if told == ["waiting 50 %"]:
            host.released.set()

    patient = store(watch, outside=Outside())
    path = patient.path(url(host), DIGEST)
    out, _ = first.communicate(timeout=20)
    assert first.returncode == 0 and out.splitlines()[-1] == str(path)
    assert path.read_bytes() == WEIGHTS
    assert "waiting 50 %" in told and "downloading" not in " ".join(told)
    assert ranges(host) == ["", "bytes=150000-"]


def test_a_killed_download_is_taken_over_where_it_was(
    host: ModelHost, store: Make, certificate: tuple[Path, Path]
) -> None:
    host.faults = [Fault(cut_after=150_000, hangs=True)]
    made = store()
    first = puller(made.folder, certificate[0], url(host))
    wait_for(lambda: dict(made.parts()).get(DIGEST, 0) >= 150_000)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=20)
    assert made.entries() == []
    assert made.path(url(host), DIGEST).read_bytes() == WEIGHTS
    assert ranges(host) == ["", "bytes=150000-"]


def test_what_is_used_is_not_removed_and_the_oldest_goes_first(host: ModelHost, store: Make) -> None:
    now = [1_000_000.0]
    outside = Outside(wall=lambda: now[0], sleep=lambda s: None)
    paths = []
    for n in range(4):
        content = random.Random(n).randbytes(300_000)
        host.files[f"/m/{n}.onnx"] = content
        paths.append((host.url(f"/m/{n}.onnx"), hashlib.sha256(content).hexdigest()))
    holder = store(outside=outside, limit_gb=0.0007)
    holder.path(*paths[0])
    passing = store(outside=outside, limit_gb=0.0007)
    for n in (1, 2):
        now[0] += 10
        passing.pull(*paths[n])
        passing.close()
    names = [entry.about.source for entry in passing.entries()]
    assert names == [paths[0][0], paths[2][0]], "the oldest is in use, so the next one went"
    assert not passing.remove(paths[0][1])
    holder.close()
    now[0] += 10
    passing.path(*paths[3])
    assert [entry.about.source for entry in passing.entries()] == [paths[2][0], paths[3][0]]
    assert passing.remove(paths[2][1]) and not passing.remove(paths[3][1])


def test_a_changed_file_is_found(host: ModelHost, store: Make) -> None:
    made = store()
    entry = made.pull(url(host), DIGEST)
    assert made.verify(entry) == []
    for text in ("a.onnx", DIGEST[:8], url(host)):
        assert [found.key for found in made.find(text)] == [DIGEST]
    assert made.find("b.onnx") == made.find(DIGEST[:5]) == []
    entry.model.write_bytes(OTHER)
    (entry.content / "more").write_text("x")
    assert made.verify(entry) == ["a.onnx", "more"]


def test_what_a_crash_left_half_made_is_made_anew(host: ModelHost, store: Make) -> None:
    made = store()
    made.pull(url(host), DIGEST)
    made.close()
    place = made.folder / "models" / DIGEST
    (place / "about.json").write_text("{}")
    staged = made.folder / "partial" / f"{DIGEST}.new"
    staged.mkdir()
    (staged / "rubbish").write_text("x")
    entry = made.pull(url(host), DIGEST)
    assert entry.model.read_bytes() == WEIGHTS and len(host.asked) == 2
    assert json.loads((place / "about.json").read_text())["sha256"] == DIGEST


def test_parts_that_nobody_went_on_with_are_removed(host: ModelHost, store: Make) -> None:
    made = store()
    made.pull(url(host), DIGEST)
    old, new = made.folder / "partial" / f"{'a' * 64}.part", made.folder / "partial" / f"{'b' * 64}.part"
    for path in (old, new):
        path.write_bytes(b"x")
    month_ago = time.time() - 30 * 86_400
    os.utime(old, (month_ago, month_ago))
    host.files["/m/b.onnx"] = OTHER
    made.pull(host.url("/m/b.onnx"), hashlib.sha256(OTHER).hexdigest())
    assert made.parts() == [("b" * 64, 1)]


def test_a_folder_that_can_only_be_read_serves_what_it_holds(
    tmp_path: Path, host: ModelHost, store: Make
) -> None:
    made = store()
    path = made.path(url(host), DIGEST)
    made.close()
    locks = made.folder / "locks"
    (locks / DIGEST).unlink()
    locks.rmdir()
    locks.write_text("")  # stands for a read-only disk, also where the tests run as root
    reader = store()
    assert reader.path(url(host), DIGEST) == path
    with pytest.raises(ModelError, match=r"models\.folder"):
        reader.path(url(host), "0" * 64)


def test_whoever_watches_may_end_it(host: ModelHost, store: Make) -> None:
    class Enough(Exception):
        pass

    def watch(progress: Progress) -> None:
        if progress.done:
            raise Enough

    with pytest.raises(Enough):
        store(watch).path(url(host), DIGEST)
    assert store().path(url(host), DIGEST).read_bytes() == WEIGHTS


def puller(folder: Path, ca_file: Path, source: str) -> subprocess.Popen[str]:
    """Another process that pulls."""
    code = (
        "import sys\n"
        "from engines.models.settings import ModelSettings\n"
        "from engines.models.store import ModelStore\n"
        "folder, ca_file, source, digest = sys.argv[1:]\n"
        "settings = ModelSettings(folder=folder, ca_file=ca_file, keep_free_gb=0, stall_seconds=20)\n"
        "print(ModelStore(settings).path(source, digest))"
    )
    arguments = [str(folder), str(ca_file), source, DIGEST]
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
