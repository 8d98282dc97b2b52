"""Builds the images of the example agents, without any registry.

The base image, agentainer-python, is this very interpreter: its binary, its standard library with
compiled modules, and the shared libraries that they need. An agent's image is its folder on top.
An image made from the same files before is kept: a label has the digest of what it is made of.
"""

from __future__ import annotations

import compileall
import fcntl
import hashlib
import shutil
import ssl
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

AGENTS = Path(__file__).resolve().parent
BASE = "agentainer-python:latest"
LABEL = "agentainer.digest"
STDLIB = Path(sysconfig.get_path("stdlib"))
BINARY = Path(sys.executable).resolve()
LEFT_OUT = shutil.ignore_patterns(
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "distutils"),
    *("site-packages", "pydoc_data", "config-*", "*.a", "_tkinter*", "_test*", "*.opt-?.pyc"),
)
USERS = "root:x:0:0::/:/none\nnobody:x:65534:65534::/tmp:/none\n"


def main() -> None:
    try:
        client = docker.from_env(timeout=300)
        base = build_base(client)
        for folder in sorted(path.parent for path in AGENTS.glob("*/Dockerfile")):
            build(client, f"{folder.name}:latest", digest_of(folder, base), build_agent)
        with alone():
            client.images.prune({"dangling": True, "label": LABEL})
    except DockerException as error:
        sys.exit(f"cannot build the images of the agents: {error}")


Builder = Callable[[docker.DockerClient, str, str], None]


def build_base(client: docker.DockerClient) -> str:
    return build(client, BASE, digest_of_base(), import_base)


def build(client: docker.DockerClient, tag: str, digest: str, builder: Builder) -> str:
    """Build what is not there yet, tell it in one line, give the digest."""
    begun = time.monotonic()
    with alone():
        if built_before(client, tag) == digest:
            print(f"{tag:26} up to date")
        else:
            builder(client, tag, digest)
            print(f"{tag:26} built in {time.monotonic() - begun:.1f} s", flush=True)
    return digest


@contextmanager
def alone() -> Iterator[None]:
    """Of several that build at once one does: an image has no name yet for a moment."""
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def built_before(client: docker.DockerClient, tag: str) -> str | None:
    try:
        return client.images.get(tag).labels.get(LABEL)
    except ImageNotFound:
        return None


def digest_of_base() -> str:
    """Stand for all of the interpreter by its version, the time of its binary, and this recipe."""
    facts = f"{sys.version} {BINARY} {BINARY.stat().st_mtime_ns}".encode()
    return hashlib.sha256(facts + Path(__file__).read_bytes()).hexdigest()


def digest_of(folder: Path, base: str) -> str:
    digest = hashlib.sha256(base.encode())
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build_agent(client: docker.DockerClient, tag: str, digest: str) -> None:
    folder = AGENTS / tag.partition(":")[0]
    client.images.build(path=str(folder), tag=tag, labels={LABEL: digest}, rm=True, forcerm=True)


def import_base(client: docker.DockerClient, tag: str, digest: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory) / "base.tar"
        pack(Path(directory) / "root", archive)
        changes = [f"LABEL {LABEL}={digest}", 'CMD ["python"]', "ENV PATH=/usr/local/bin"]
        client.api.import_image_from_file(str(archive), tag.partition(":")[0], "latest", changes)


def pack(root: Path, archive: Path) -> None:
    """Lay out the files as they shall be in the image, and make a tar of them."""
    library = root / "usr/local/lib" / STDLIB.name
    shutil.copytree(STDLIB, library, ignore=LEFT_OUT)
    compileall.compile_dir(library, quiet=1, workers=0)
    place(BINARY, root / "usr/local/bin/python")
    for path in shared_libraries([BINARY, *library.glob("lib-dynload/*.so")]):
        place(path, root / path.relative_to("/"))
    trust = ssl.get_default_verify_paths()
    if trust.cafile:
        place(Path(trust.cafile), root / Path(trust.openssl_cafile).relative_to("/"))
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(USERS)
    (root / "tmp").mkdir()
    with tarfile.open(archive, "w") as tar:
        tar.add(root, ".", filter=owned_by_root)


def place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def shared_libraries(programs: list[Path]) -> set[Path]:
    """Ask ldd, which prints `name => /path (address)` or `/path (address)`."""
    asked = subprocess.run(["/usr/bin/ldd", *programs], capture_output=True, text=True, check=False)
    return set(paths(asked.stdout))


def paths(listing: str) -> Iterator[Path]:
    for line in listing.splitlines():
        words = line.rpartition("=>")[2].split()
        if line.startswith("\t") and words and words[0].startswith("/"):
            yield Path(words[0])


def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o1777 if entry.name == "./tmp" else entry.mode | 0o444 | (0o111 * entry.isdir())
    return entry


if __name__ == "__main__":
    main()
