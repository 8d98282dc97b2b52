"""Image names: `[registry/]path[:tag][@digest]`."""

from __future__ import annotations

import re

from ...core.errors import CannotLaunch

_LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*(/[A-Za-z0-9][A-Za-z0-9._:-]*)*(@\w+:[0-9a-f]+)?")


def checked(image: str) -> str:
    """Return the name when it is one. Raises CannotLaunch (`image_missing`)."""
    if not _LEGAL.fullmatch(image):
        raise CannotLaunch(
            "image_missing",
            f"{image!r} is not an image name; expected [registry/]name[:tag], all lower case",
        )
    return image


def bare_name(image: str) -> str:
    """Drop registry, tag and digest: `ghcr.io/team/fetcher:2` becomes `team/fetcher`."""
    path = checked(image).partition("@")[0]
    first, slash, rest = path.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        path = rest
    folder, slash, name = path.rpartition("/")
    return folder + slash + name.partition(":")[0]
