"""What counts as a secret: by the name that it stands under, by its form, or by being one of ours.

Secrets never reach events, logs, traces, listings or exports; this says what they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, cast

HIDDEN = "***"

#: Names of variables are spelled in many ways, those of members in few: `tokens_used` is a number
#: of tokens, and `key` the name of something.
_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSW|PASS$|PWD|CREDENTIAL|PASSPHRASE|AUTH$")
_MEMBER = re.compile(
    r"(^|_|-)(secret|password|passwd|passphrase|pwd|token|credentials?|authorization|cookie|"
    r"(api|access|private|secret|signing|encryption)[_-]?key)$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL = re.compile(r"(://[^/\s:@\"]*:)(?!\*\*\*@)[^@\s/\"]+@")
#: `Authorization: Bearer …`, also within JSON or a repr; `password=…` in a query or a call.
_BEARER = re.compile(r"\b(Bearer|Basic)(\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
_PAIR = re.compile(
    r"((?:secret|password|passwd|passphrase|token|api_?key|access_?key)['\"]?\s*[=:]\s*['\"]?)"
    r"(?!\*\*\*)[^\s'\"&,;)}]{3,}",
    re.IGNORECASE,
)
#: Tokens of the API and of agents.
_OURS = re.compile(r"\b(agt_|agj\.)[\w.~-]{8,}")
#: Shorter values of variables are found in too many innocent words.
_SHORTEST = 6


def is_secret(name: str) -> bool:
    """Whether what stands under this name is to be kept from others."""
    if name.isupper():
        return _VARIABLE.search(name) is not None
    return _MEMBER.search(_CAMEL.sub("_", name).lower()) is not None


def hide_in_text(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """A text without passwords in URLs, bearers, pairs such as `token=…` and our own secrets."""
    for secret in _values(tuple(environ.items())):
        text = text.replace(secret, HIDDEN)
    text = _URL.sub(rf"\1{HIDDEN}@", text)
    text = _OURS.sub(rf"\1{HIDDEN}", text)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
    return _PAIR.sub(rf"\1{HIDDEN}", text)


def hide(value: Any, name: str = "", environ: Mapping[str, str] = os.environ) -> Any:
    """A value of any depth without secrets; what is none of texts, lists and maps stays."""
    if name and is_secret(name) and value not in (None, "", True, False):
        return HIDDEN
    match value:
        case str():
            return hide_in_text(value, environ)
        case bytes():
            return hide_in_text(value.decode(errors="replace"), environ)
        case dict():
            pairs = cast("dict[object, object]", value).items()
            return {key: hide(one, str(key), environ) for key, one in pairs}
        case list() | tuple() | set() | frozenset():
            return [hide(one, "", environ) for one in cast("Iterable[object]", value)]
        case None | bool() | int() | float():
            return value
        case _:
            return hide_in_text(str(value), environ)


@lru_cache(maxsize=4)
def _values(environ: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Values of variables that are secrets, the longest first."""
    found = {value for name, value in environ if is_secret(name) and len(value) >= _SHORTEST}
    return tuple(sorted(found, key=len, reverse=True))
