"""Agents as folders: what stands in for images when jobs are local processes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from ...core.errors import CannotLaunch
from .contract import Launch
from .image import bare_name


class Agent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `agent.json`."""

    command: tuple[str, ...]


class Program(msgspec.Struct, frozen=True):
    """What to run, with the program found, and where. A folder of None means a scratch one."""

    command: list[str]
    folder: Path | None


def program(launch: Launch, agents: Path, environ: Mapping[str, str]) -> Program:
    """Find what a launch asks for.

    Raises CannotLaunch: `image_missing` without a folder and a command, `cannot_start` when the
    program is not there.
    """
    folder = _folder(agents, launch.image)
    command = launch.command or _declared(folder, agents, launch.image)
    if not command:
        raise CannotLaunch("cannot_start", f"image {launch.image!r}: the command is empty")
    return Program([_found(command[0], folder, environ), *command[1:]], folder)


def _folder(agents: Path, image: str) -> Path | None:
    folder = agents.absolute() / bare_name(image)
    return folder if folder.is_dir() else None


def _declared(folder: Path | None, agents: Path, image: str) -> Sequence[str]:
    searched = agents.absolute() / bare_name(image)
    try:
        return msgspec.json.decode((searched / "agent.json").read_bytes(), type=Agent).command
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = f"no folder {searched}" if folder is None else f"no {searched / 'agent.json'}"
        raise CannotLaunch(
            "image_missing",
            f"no agent for image {image!r}: {missing}. Make it, with an agent.json like "
            '{"command": ["python", "agent.py"]}, or point AGENTAINER_AGENTS to the folder that '
            "has it",
        ) from error
    except msgspec.DecodeError as error:
        raise CannotLaunch("cannot_start", f"{searched / 'agent.json'}: {error}") from error


def _found(name: str, folder: Path | None, environ: Mapping[str, str]) -> str:
    """Find a program as a shell would, in the folder when its name is a relative path."""
    if name == "python":
        return sys.executable
    place = name if os.sep not in name or folder is None else str(folder / name)
    found = shutil.which(place, path=environ.get("PATH", os.defpath))
    if found is None:
        raise CannotLaunch(
            "cannot_start", f"no program {name!r} that can be executed, searched as {place!r}"
        )
    return os.path.abspath(found)
