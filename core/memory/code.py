"""The scripts and libraries that a server keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Code:
    #: Texts of scripts, by their digest.
    scripts: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    #: Functions of each library, by name.
    libraries: dict[bytes, dict[bytes, Any]] = field(default_factory=dict[bytes, dict[bytes, Any]])
    #: All of them.
    functions: dict[bytes, Any] = field(default_factory=dict[bytes, Any])

    def keep(self, library: bytes, functions: dict[bytes, Any]) -> None:
        self.libraries[library] = functions
        self._gather()

    def drop(self, library: bytes) -> bool:
        there = self.libraries.pop(library, None) is not None
        self._gather()
        return there

    def _gather(self) -> None:
        self.functions = {
            name: function
            for functions in self.libraries.values()
            for name, function in functions.items()
        }
