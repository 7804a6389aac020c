#!/usr/bin/env python3
"""Builds PJSIP, its pjsua2 binding and the frame bus into one wheel. Standard library only.

The wheel lands in a cache and is built once per machine and set of inputs; PJSIP itself is cached
apart from the frame bus, so that a change there takes seconds. Nothing outside the cache is touched
(with --install: and the environment of the running interpreter).
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

VERSION = "2.17"
HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("OFFHOOK_CACHE") or "~/.cache/offhook").expanduser() / "pjsip"

# The release as its project tags it. The checksum is the one that Homebrew's formula pins.
RELEASE_URL = f"https://github.com/pjsip/pjproject/archive/refs/tags/{VERSION}.tar.gz"
RELEASE_SHA256 = "065fe06c06788d97c35f563796d59f00ce52fe9558a52d7b490a042a966facce"
# The same tag without its third_party/ sources, as a component of Debian's Asterisk source package.
COMPONENT = ("asterisk", "orig-Xpjproject")
COMPONENT_SHA256 = "6860c2f7604b4eee75f38151a9ef69774eb3f0c5286fc1d14bc1db2dc5a9e8aa"
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

CONFIGURE = """
    --enable-shared --enable-epoll --enable-speex-resample --with-external-speex --with-external-srtp
    --disable-video --disable-sound --disable-v4l2 --disable-sdl --disable-ffmpeg --disable-openh264
    --disable-vpx --disable-libyuv --disable-libwebrtc --disable-upnp --disable-speex-aec
    --disable-gsm-codec --disable-ilbc-codec --disable-g7221-codec --disable-l16-codec
    --disable-opencore-amr --disable-silk --disable-bcg729 --disable-lyra
""".split()

# (file, old, new): each must match exactly once, or the build stops.
PATCHES = [
    # The frame bus looks up a packet's arrival by its RTP timestamp; the stream knows it and drops it.
    (
        "pjmedia/src/pjmedia/stream.c",
        "frame->size = samples_count * BYTES_PER_SAMPLE;\n        frame->timestamp.u64 = 0;",
        "frame->size = samples_count * BYTES_PER_SAMPLE;\n        frame->timestamp.u64 = rtp_ts;",
    ),
    # CVE-2026-57162: an INVITE with many a=crypto lines writes past this array. No release has the fix yet.
    ("pjmedia/src/pjmedia/transport_srtp_sdes.c", "int tags[64];", "int tags[PJMEDIA_MAX_SDP_ATTR];"),
    # CVE-2026-57161: so does a REGISTER answer with many Service-Route headers.
    (
        "pjsip/src/pjsua-lib/pjsua_acc.c",
        "            uri[uri_cnt++] = h->name_addr.uri;",
        "            if (uri_cnt == PJ_ARRAY_SIZE(uri))\n                return;\n"
        "            uri[uri_cnt++] = h->name_addr.uri;",
    ),
    # CVE-2026-57160: a list header at the very end of a full packet.
    (
        "pjsip/src/pjsip/sip_msg.c",
        "    copy_advance(p, (*hname));\n    *p++ = ':';\n    *p++ = ' ';",
        "    copy_advance(p, (*hname));\n"
        "    copy_advance_char_check(p, ':');\n    copy_advance_char_check(p, ' ');",
    ),
]

# The parsers face the network: what gets past their checks must end the process, not own it.
HARDENED = ["-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now"]

# What has to be on the machine: (pkg-config module or program, Debian package).
PROGRAMS = [("g++", "g++"), ("make", "make"), ("swig", "swig"), ("pkg-config", "pkg-config")]
MODULES = [
    ("openssl", "libssl-dev"),
    ("opus", "libopus-dev"),
    ("speexdsp", "libspeexdsp-dev"),
    ("speex", "libspeex-dev"),
    ("libsrtp2", "libsrtp2-dev"),
    ("uuid", "uuid-dev"),
]

SOURCE_SUFFIXES = {".c", ".h", ".cpp", ".hpp", ".i", ".mak", ".in"}
INCLUDES = ["pjlib", "pjlib-util", "pjnath", "pjmedia", "pjsip"]
LIBS_DIR = "offhook_pjsip.libs"
FRAMEBUS = [
    "frame_bus.cpp",
    "wire_transport.cpp",
    "leg_port.cpp",
    "pjsua_hooks.cpp",
    "sip_guard.cpp",
    "sip_guard_module.cpp",
    "refer_gate.cpp",
    "module.cpp",
]
PYBIND11 = "pybind11>=3.0,<4"


class BuildError(Exception):
    """Says what went wrong and what cures it."""


_started = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - _started:6.1f} s] {text}", file=sys.stderr, flush=True)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(command: list[str], cwd: Path, log: Path, **env: str) -> None:
    """Runs one build command; its output goes to the log, whose end is shown on failure."""
    with log.open("ab") as out:
        out.write(f"\n$ {' '.join(command)}\n".encode())
        out.flush()
        code = subprocess.run(command, cwd=cwd, stdout=out, stderr=out, env={**os.environ, **env}).returncode
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise BuildError(f"`{command[0]}` failed with status {code}. The end of {log}:\n{tail}")


# --- source -------------------------------------------------------------------------------------


def fetch_release(folder: Path) -> Path:
    """The tagged release from its project, if it can be reached."""
    target = folder / f"pjproject-{VERSION}.tar.gz"
    part = target.with_suffix(".part")
    deadline = time.monotonic() + 120
    try:
        with urllib.request.urlopen(RELEASE_URL, timeout=6) as response, part.open("wb") as out:
            while chunk := response.read(1 << 16):
                out.write(chunk)
                if time.monotonic() > deadline:
                    raise BuildError("the download takes longer than two minutes")
    except (OSError, urllib.error.URLError) as error:
        raise BuildError(f"not reachable ({getattr(error, 'reason', error)})") from error
    if (found := file_sha256(part)) != RELEASE_SHA256:
        part.unlink()
        raise BuildError(f"its SHA-256 is {found}, expected {RELEASE_SHA256}")
    part.rename(target)
    return target


def debian_mirror() -> str:
    """The mirror this machine itself is configured to use; no host name is known to us."""
    if not shutil.which("apt-get"):
        raise BuildError("this is not a Debian system")
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)"], capture_output=True, text=True
    ).stdout
    for line in listing.splitlines():
        uri = line.split()[0]
        if uri.rstrip("/").endswith("/debian"):
            return uri
    raise BuildError("this machine's APT names no Debian mirror")


def fetch_component(folder: Path) -> Path:
    """The upstream component inside Debian's Asterisk source, by a private APT that knows only unstable."""
    package, part = COMPONENT
    apt = folder / "apt"
    for name in ("lists/partial", "archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    line = f"deb-src [signed-by={DEBIAN_KEYRING}] {debian_mirror()} unstable main\n"
    (apt / "sources.list").write_text(line)
    private = [
        f"-oDir::Etc::sourcelist={apt / 'sources.list'}",
        "-oDir::Etc::sourceparts=/dev/null",
        f"-oDir::State::lists={apt / 'lists'}",
        f"-oDir::Cache={apt}",
        "-oAcquire::Languages=none",
        "-oAPT::Sandbox::User=",
    ]
    log = folder / "apt.log"
    run(["apt-get", *private, "update"], folder, log)
    listing = subprocess.run(
        ["apt-get", *private, "source", "--print-uris", package], cwd=folder, capture_output=True, text=True
    ).stdout
    found = re.search(rf"^'(\S+)' (\S+{part}\.tar\.\w+) \d+ SHA256:(\w+)$", listing, re.MULTILINE)
    if not found:
        raise BuildError(f"Debian's {package} source has no {part} component any more")
    uri, name, signed = found.groups()
    if signed != COMPONENT_SHA256:
        say(f"  Debian now has another {part} than the pinned one; taken on the archive's signature")
    target = folder / name
    helper = ["/usr/lib/apt/apt-helper", *private, "download-file"]
    run([*helper, uri, str(target), f"SHA256:{signed}"], folder, log)
    if file_sha256(target) != signed:
        raise BuildError(f"{name} does not match the package's signed checksum")
    shutil.rmtree(apt)
    return target


def local_source() -> Path | None:
    """What PJPROJECT_SRC names: a tarball or an unpacked tree."""
    if not (named := os.environ.get("PJPROJECT_SRC")):
        return None
    path = Path(named).expanduser()
    if not path.exists():
        raise BuildError(f"PJPROJECT_SRC names {path}, which does not exist")
    return path


def checksum_of(source: Path) -> str:
    if source.is_file():
        return file_sha256(source)
    files = (path for path in sorted(source.rglob("*")) if path.is_file() and path.suffix in SOURCE_SUFFIXES)
    return sha256("".join(f"{path.relative_to(source)}:{file_sha256(path)}\n" for path in files).encode())


def obtain_source() -> tuple[Path, str]:
    """A source tree or tarball and its checksum; downloads are kept in the cache."""
    if local := local_source():
        return local, checksum_of(local)
    folder = CACHE / "source"
    folder.mkdir(parents=True, exist_ok=True)
    for kept in sorted(folder.glob("*.tar.*")):
        say(f"source: {kept.name} (kept from before)")
        return kept, file_sha256(kept)
    refusals = []
    for name, fetch in (("the release", fetch_release), ("Debian's component", fetch_component)):
        say(f"source: trying {name} …")
        try:
            source = fetch(folder)
        except BuildError as error:
            say(f"  {error}")
            refusals.append(f"{name}: {error}")
            continue
        say(f"source: {source.name}")
        return source, file_sha256(source)
    raise BuildError(
        "no PJSIP source could be had:\n  "
        + "\n  ".join(refusals)
        + f"\nFetch pjproject {VERSION} on another machine and name the tarball in PJPROJECT_SRC."
    )


def unpack(source: Path, tree: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, tree, symlinks=True)
    else:
        with tarfile.open(source) as archive:
            # Python before 3.11.4 knows no filters; the checksum vouches for the archive either way.
            if hasattr(tarfile, "data_filter"):
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(tree.parent / "unpacked")
        (top,) = (tree.parent / "unpacked").iterdir()
        top.rename(tree)
    text = (tree / "version.mak").read_text()
    found = ".".join(re.findall(r"PJ_VERSION_(?:MAJOR|MINOR)\s*:=\s*(\d+)", text))
    if found != VERSION:
        raise BuildError(f"{source} is PJSIP {found}, not {VERSION}. Name another in PJPROJECT_SRC.")


# --- PJSIP and its binding ----------------------------------------------------------------------


def check_machine() -> None:
    missing = [package for program, package in PROGRAMS if not shutil.which(program)]
    if shutil.which("pkg-config"):
        for module, package in MODULES:
            if subprocess.run(["pkg-config", "--exists", module]).returncode:
                missing.append(package)
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing.append("python3-dev")
    if missing:
        raise BuildError(f"missing on this machine; as root: apt-get install {' '.join(missing)}")


def compile_flags(tree: Path) -> list[str]:
    """How PJSIP's own pkg-config file says to compile against it, and Python's headers."""
    endian = ["-DPJ_IS_BIG_ENDIAN=0", "-DPJ_IS_LITTLE_ENDIAN=1"]
    folders = [*(tree / name / "include" for name in INCLUDES), sysconfig.get_path("include")]
    return ["-DPJ_AUTOCONF=1", *endian, *(f"-I{folder}" for folder in folders)]


def patch(tree: Path) -> None:
    for name, old, new in PATCHES:
        text = (tree / name).read_text()
        if text.count(old) != 1:
            raise BuildError(f"{name} is not what the patch in build.py expects; is this PJSIP {VERSION}?")
        (tree / name).write_text(text.replace(old, new))
    shutil.copy(HERE / "config_site.h", tree / "pjlib/include/pj/config_site.h")
    # Debian's component leaves this non-free driver out; nothing refers to its contents here.
    driver = tree / "pjmedia/src/pjmedia-audiodev/bdimad_dev.c"
    if not driver.exists():
        driver.touch()


def build_libraries(tree: Path, log: Path) -> None:
    flags = f"-O2 -g0 -fPIC -DNDEBUG {' '.join(HARDENED[:2])}"
    # The linker writes LD_RUN_PATH into each library: they find each other wherever they lie.
    rpath = {"LD_RUN_PATH": "$ORIGIN"}
    say("1/4 configuring PJSIP …")
    command = [
        "./aconfigure",
        *CONFIGURE,
        f"CFLAGS={flags}",
        f"CXXFLAGS={flags}",
        f"LDFLAGS=-Wl,--as-needed {HARDENED[2]}",
    ]
    run(command, tree, log, **rpath)
    jobs = os.cpu_count() or 1
    say(f"2/4 compiling PJSIP ({jobs} jobs) …")
    run(["make", f"-j{jobs}", "lib", "EXCLUDE_APP=1"], tree, log, **rpath)


def build_binding(tree: Path, log: Path) -> None:
    """Signalling only, so the compiler's time is saved: -O1."""
    say("3/4 compiling the pjsua2 binding …")
    swig = tree / "pjsip-apps/src/swig"
    includes = [f"-I{tree / name / 'include'}" for name in INCLUDES]
    out = swig / "python"
    command = ["swig", *includes, "-w312", "-c++", "-threads", "-python", "-o", str(out / "wrap.cpp")]
    run([*command, "pjsua2.i"], swig, log)
    extension("_pjsua2", [out / "wrap.cpp"], tree, out, log, ["-O1", "-w"])


def extension(name: str, sources: list[Path], tree: Path, out: Path, log: Path, flags: list[str]) -> Path:
    """Compiles one Python extension against the libraries in `tree` (or its kept copy)."""
    target = out / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    libs = sorted({path.parent for path in tree.glob("**/lib*.so.2")})
    search = [flag for folder in libs for flag in (f"-L{folder}", f"-Wl,-rpath-link,{folder}")]
    needed = ["-lpjsua2", "-lpjsua", "-lpjsip-simple", "-lpjsip", "-lpjmedia", "-lpjlib-util", "-lpj"]
    needed.append("-lspeexdsp")
    common = ["-std=c++20", "-g0", "-fPIC", "-DNDEBUG", *HARDENED, *compile_flags(tree), *flags]
    objects = []
    running = []
    for source in sources:
        objects.append(out / (source.stem + ".o"))
        with log.open("ab") as stream:
            command = ["g++", *common, "-c", str(source), "-o", str(objects[-1])]
            running.append((source, subprocess.Popen(command, stdout=stream, stderr=stream)))
    failed = [source.name for source, process in running if process.wait()]
    if failed:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise BuildError(f"{', '.join(failed)} did not compile. The end of {log}:\n{tail}")
    rpath = ["-Wl,--as-needed", f"-Wl,-rpath,$ORIGIN/{LIBS_DIR}"]
    run(["g++", "-shared", "-o", str(target), *map(str, objects), *search, *needed, *rpath], out, log)
    return target


def keep(tree: Path, kept: Path) -> None:
    """Copies what the wheel and the frame bus need, under the names they will have."""
    staging = kept.with_name(kept.name + ".part")
    shutil.rmtree(staging, ignore_errors=True)
    (staging / LIBS_DIR).mkdir(parents=True)
    for library in tree.glob("*/lib/lib*.so.2"):
        shutil.copy(library, staging / LIBS_DIR)
        (staging / LIBS_DIR / library.name.removesuffix(".2")).symlink_to(library.name)
    for name in INCLUDES:
        shutil.copytree(tree / name / "include", staging / name / "include")
    binding = tree / "pjsip-apps/src/swig/python"
    for path in [binding / "pjsua2.py", *binding.glob("_pjsua2*.so"), tree / "COPYING"]:
        shutil.copy(path, staging)
    shutil.rmtree(kept, ignore_errors=True)
    staging.rename(kept)


def pjsip(source: Path, kept: Path) -> None:
    work = CACHE / f"build-{kept.name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log = work / "build.log"
    tree = work / "pjproject"
    unpack(source, tree)
    patch(tree)
    build_libraries(tree, log)
    build_binding(tree, log)
    keep(tree, kept)
    shutil.rmtree(work)


# --- frame bus and wheel ------------------------------------------------------------------------


def pybind11_include() -> str:
    """pybind11's headers: from this environment, or from a private copy in the cache."""
    spec = importlib.util.find_spec("pybind11")
    if spec and spec.origin:
        return str(Path(spec.origin).parent / "include")
    private = CACHE / "build-requires"
    if not (private / "pybind11").exists():
        say(f"fetching {PYBIND11} …")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(private), PYBIND11]
        if subprocess.run(pip).returncode:
            raise BuildError(f"pybind11 is missing: {sys.executable} -m pip install '{PYBIND11}'")
    return str(private / "pybind11" / "include")


def framebus(kept: Path, out: Path) -> Path:
    say("4/4 compiling the frame bus …")
    out.mkdir(parents=True, exist_ok=True)
    flags = ["-O2", "-fvisibility=hidden", "-Wall", "-Wextra", f"-I{pybind11_include()}"]
    sources = [HERE / name for name in FRAMEBUS]
    return extension("framebus", sources, kept, out, out / "framebus.log", flags)


def write_wheel(kept: Path, bus: Path, version: str, folder: Path) -> Path:
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    info = f"offhook_pjsip-{version}.dist-info"
    wheel = folder / f"offhook_pjsip-{version}-{tag}-{tag}-{platform}.whl"
    members: dict[str, bytes] = {}
    for path in [kept / "pjsua2.py", *kept.glob("_pjsua2*.so"), bus, HERE / "framebus.pyi"]:
        members[path.name] = path.read_bytes()
    for library in sorted((kept / LIBS_DIR).glob("*.so.2")):
        members[f"{LIBS_DIR}/{library.name}"] = library.read_bytes()
    members[f"{info}/licenses/COPYING"] = (kept / "COPYING").read_bytes()
    members[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.4\nName: offhook-pjsip\nVersion: {version}\n"
        f"Summary: PJSIP {VERSION}, its pjsua2 binding and Offhook's frame bus\n"
        "License-Expression: GPL-2.0-or-later\nLicense-File: COPYING\n"
        f"Requires-Python: =={sys.version_info.major}.{sys.version_info.minor}.*\nRequires-Dist: numpy\n"
    ).encode()
    members[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: offhook\nRoot-Is-Purelib: false\nTag: {tag}-{tag}-{platform}\n"
    ).encode()
    record = f"{info}/RECORD"
    rows = [f"{name},sha256={_urlsafe(data)},{len(data)}" for name, data in members.items()]
    members[record] = "\n".join([*rows, f"{record},,", ""]).encode()
    part = wheel.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same inputs give the same bytes
            entry.external_attr = (0o755 if ".so" in name else 0o644) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    part.rename(wheel)
    return wheel


def _urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


# --- command ------------------------------------------------------------------------------------


def key(*parts: str, files: Iterable[Path] = ()) -> str:
    return sha256("\n".join([*parts, *(f"{path.name}:{file_sha256(path)}" for path in files)]).encode())


def recipe() -> list[str]:
    """What decides how PJSIP is built; other edits of this file must not build it anew."""
    steps = (unpack, patch, compile_flags, build_libraries, build_binding, extension, keep)
    return [
        *(inspect.getsource(step) for step in steps),
        repr((CONFIGURE, PATCHES, HARDENED, INCLUDES, LIBS_DIR)),
    ]


def build() -> Path:
    """The wheel for the present inputs, from the cache where it is there."""
    source, checksum = obtain_source()
    version = ["g++", "-dumpfullversion", "-dumpmachine"]
    compiler = subprocess.run(version, capture_output=True, text=True).stdout if shutil.which("g++") else ""
    abi = str(sysconfig.get_config_var("SOABI"))
    base = key(checksum, abi, compiler, *recipe(), files=[HERE / "config_site.h"])
    native = [*sorted(HERE.glob("*.hpp")), *sorted(HERE.glob("*.cpp")), HERE / "framebus.pyi"]
    full = key(base, files=[*native, Path(__file__).resolve()])
    folder = CACHE / full[:32]
    if wheels := sorted(folder.glob("*.whl")):
        say("up to date")
        return wheels[0]
    check_machine()
    kept = CACHE / f"libs-{base[:32]}"
    if kept.exists():
        say("1-3/4 PJSIP and its binding: from the cache")
    else:
        pjsip(source, kept)
    bus = framebus(kept, folder / "build")
    wheel = write_wheel(kept, bus, f"{VERSION}.0+{full[:8]}", folder)
    shutil.rmtree(folder / "build")
    return wheel


def wait_for_turn(lock: IO[str]) -> None:
    """Two builds at once would share one tree."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another build is running; waiting for it …")
        fcntl.flock(lock, fcntl.LOCK_EX)


def install(wheel: Path) -> None:
    wanted = wheel.name.split("-")[1]
    try:
        if importlib.metadata.version("offhook-pjsip") == wanted:
            say(f"offhook-pjsip {wanted} is installed already")
            return
    except importlib.metadata.PackageNotFoundError:
        pass
    options = ["install", "--quiet", "--no-deps", "--force-reinstall", str(wheel)]
    if importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", *options]
    else:
        command = ["uv", "pip", *options, "--python", sys.executable]
    if subprocess.run(command).returncode:
        raise BuildError(f"could not install the wheel; it is at {wheel}")
    say(f"installed offhook-pjsip {wanted} for {sys.executable}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="PJPROJECT_SRC names a local PJSIP tarball or tree; OFFHOOK_CACHE moves the cache.",
    )
    parser.add_argument("--install", action="store_true", help="into the running interpreter's environment")
    parser.add_argument("--wheel-dir", type=Path, metavar="DIR", help="copy the wheel there")
    options = parser.parse_args()
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            wait_for_turn(lock)
            wheel = build()
        if options.install:
            install(wheel)
        if options.wheel_dir:
            options.wheel_dir.mkdir(parents=True, exist_ok=True)
            wheel = Path(shutil.copy(wheel, options.wheel_dir))
    except BuildError as error:
        print(f"\nbuild failed: {error}", file=sys.stderr)
        return 1
    print(wheel)
    return 0


if __name__ == "__main__":
    sys.exit(main())
