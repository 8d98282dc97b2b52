"""Where finished workflows go: a folder, or whatever fsspec opens (s3://, gs://, memory:// …).

A file is there whole or not at all. All of it blocks, so it is called in threads.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from pathlib import Path
from typing import Any, Protocol

from .errors import ArchiveUnavailable, SettingsError
from .ids import new_key

#: What a file is called until it is whole.
PART = ".part"


class Storage(Protocol):
    """Files by path, parts of it divided by `/`. Raises ArchiveUnavailable."""

    def write(self, path: str, data: bytes) -> None: ...

    def read(self, path: str) -> bytes: ...

    def remove(self, path: str) -> None:
        """One that is not there is removed already."""
        ...

    def clear(self, older_than_s: float, *, dry_run: bool = False) -> int:
        """Remove what writers that were killed left half written; how many files."""
        ...


def open_storage(url: str) -> Storage:
    """Raises SettingsError for a URL that cannot be opened."""
    if url.startswith("file://"):
        url = url.removeprefix("file://")
    return _Remote(url) if "://" in url else _Folder(Path(url).expanduser().absolute())


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, path: str, data: bytes) -> None:
        place = self._root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(place, data)
        except OSError as error:
            raise ArchiveUnavailable(str(self._root), path, str(error)) from error

    def read(self, path: str) -> bytes:
        try:
            return (self._root / path).read_bytes()
        except OSError as error:
            raise ArchiveUnavailable(str(self._root), path, str(error)) from error

    def remove(self, path: str) -> None:
        try:
            (self._root / path).unlink(missing_ok=True)
        except OSError as error:
            raise ArchiveUnavailable(str(self._root), path, str(error)) from error

    def clear(self, older_than_s: float, *, dry_run: bool = False) -> int:
        count, latest = 0, time.time() - older_than_s
        try:
            for path in self._root.rglob(f".*{PART}"):
                if path.stat().st_mtime < latest:
                    count += 1
                    if not dry_run:
                        path.unlink(missing_ok=True)
        except OSError as error:
            raise ArchiveUnavailable(str(self._root), "", str(error)) from error
        return count


def _write_whole(place: Path, data: bytes) -> None:
    """Beside its place first, on disk, then renamed; the folder is synced, for it has the name."""
    part = place.with_name(f".{place.name}.{new_key()[:12]}{PART}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class _Remote:
    """A file system of fsspec."""

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            core: Any = importlib.import_module("fsspec.core")
            self._files, self._root = core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise SettingsError(
                f"cannot use the settings: AGENTAINER_ARCHIVE: {url} cannot be opened: {error}. "
                "URLs need fsspec and the package of their scheme (pip install "
                "'agentainer-flow[archive]', and s3fs for s3://); a folder needs nothing"
            ) from error

    def write(self, path: str, data: bytes) -> None:
        try:
            self._files.makedirs(self._place(path).rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(self._place(path), data)
        except Exception as error:  # each kind of storage has errors of its own
            raise ArchiveUnavailable(self._url, path, str(error)) from error

    def read(self, path: str) -> bytes:
        try:
            data: bytes = self._files.cat_file(self._place(path))
        except Exception as error:  # each kind of storage has errors of its own
            raise ArchiveUnavailable(self._url, path, str(error)) from error
        return data

    def remove(self, path: str) -> None:
        try:
            self._files.rm_file(self._place(path))
        except FileNotFoundError:
            pass
        except Exception as error:  # each kind of storage has errors of its own
            raise ArchiveUnavailable(self._url, path, str(error)) from error

    def clear(self, older_than_s: float, *, dry_run: bool = False) -> int:
        return 0  # such storage has a file as a whole or not at all

    def _place(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"
