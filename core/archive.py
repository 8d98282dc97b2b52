"""Where finished workflows go: a folder, or whatever fsspec opens (s3://, gs://, memory:// …).

A file is there whole or not at all. All of it blocks, so it is called in threads.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
from pathlib import Path
from typing import Any, Protocol

from .errors import ArchiveUnavailable, SettingsError


class Storage(Protocol):
    """Files by path, parts of it divided by `/`. Raises ArchiveUnavailable."""

    def write(self, path: str, data: bytes) -> None: ...

    def read(self, path: str) -> bytes: ...

    def remove(self, path: str) -> None:
        """One that is not there is removed already."""
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


def _write_whole(place: Path, data: bytes) -> None:
    """Beside its place first, on disk, then renamed; the folder is synced, for it has the name."""
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
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

    def _place(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"
