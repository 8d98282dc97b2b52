"""What counts as a secret: by the name that it stands under, by its form, or by being one of ours.

They are taken out of logs, traces and what is exported; this says what they are.
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
#: The folders of a shell, which are in every path.
_FOLDERS = frozenset({"PWD", "OLDPWD"})
_MEMBER = re.compile(
    r"(^|[^a-z0-9])(secret|passwords?|passwd|passphrases?|pwd|token|credentials?|authorization|"
    r"cookies?|(api|access|private|secret|signing|encryption)[_-]?keys?)$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: A password in a URL ends at the last @ of what may be the host.
_URL = re.compile(r"(://[^/\s:@\"]*:)(?!\*\*\*@)([^\s/\"]+)@")
#: `Authorization: Bearer …`, also within JSON or a repr; `password=…` in a query or a call.
_BEARER = re.compile(
    r"(\b(?:Bearer|Basic)|authorization['\"]?\s*[=:]\s*['\"]?\w+)(\s+)[\w.~+/=-]{6,}", re.IGNORECASE
)
_NAMES = r"(?:secret|password|passwd|passphrase|token|api[_-]?key|access[_-]?key)"
_QUOTED = re.compile(
    rf"({_NAMES}\\*['\"]?\s*[=:]\s*)(\\*['\"])(?!\*\*\*)(?:(?!\2).){{3,}}?(?=\2)", re.IGNORECASE
)
_PAIR = re.compile(
    rf"({_NAMES}\\*['\"]?\s*[=:]\s*\\*['\"]?|--{_NAMES}\s+)(?!\*\*\*)[^\s'\"&,;)}}]{{3,}}",
    re.IGNORECASE,
)
#: Tokens of the API and of agents.
_OURS = re.compile(r"\b(agt_|agj\.)[\w.~-]{8,}")
#: Tokens and keys of others that say what they are: of models, GitHub, Slack, AWS, JWT and PEM.
_THEIRS = re.compile(
    r"\b(?:(sk-|gh[pousr]_|github_pat_|xox[abpr]-|AKIA)[\w-]{16,}|(eyJ)[\w-]+\.[\w-]+\.[\w-]+)"
)
_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL)
#: Shorter values of variables are found in too many innocent words.
_SHORTEST = 6


def is_secret(name: str) -> bool:
    """Whether what stands under this name is to be kept from others."""
    if name.isupper():
        return _VARIABLE.search(name) is not None and name not in _FOLDERS
    spelled = (name, _CAMEL.sub("_", name))
    return any(_MEMBER.search(one.lower()) for one in spelled)


def hide_in_text(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """A text without passwords in URLs, bearers, pairs such as `token=…` and our own secrets."""
    for secret in _values(tuple(environ.items())):
        text = text.replace(secret, HIDDEN)
    text = _URL.sub(rf"\1{HIDDEN}@", text)
    text = _OURS.sub(rf"\1{HIDDEN}", text)
    text = _THEIRS.sub(rf"\1\2{HIDDEN}", text)
    text = _PEM.sub(rf"\1{HIDDEN}", text)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
    text = _QUOTED.sub(rf"\1\2{HIDDEN}", text)
    return _PAIR.sub(rf"\1{HIDDEN}", text)


def hide(value: Any, name: str = "", environ: Mapping[str, str] = os.environ) -> Any:
    """A value of any depth without secrets, as JSON has it."""
    if name and is_secret(name) and value not in (None, "", True, False):
        return HIDDEN
    match value:
        case str():
            return hide_in_text(value, environ)
        case bytes():
            return hide_in_text(value.decode(errors="replace"), environ)
        case dict():
            pairs = cast("dict[object, object]", value).items()
            return {_key(key): hide(one, str(_key(key)), environ) for key, one in pairs}
        case list() | tuple() | set() | frozenset():
            return _hide_all([*cast("Iterable[object]", value)], environ)
        case None | bool() | int() | float():
            return value
        case _:
            return hide_in_text(str(value), environ)


def _key(key: object) -> str | int | float | None:
    """The key of a map as JSON can have it."""
    if isinstance(key, bytes):
        return key.decode(errors="replace")
    return key if isinstance(key, str | int | float | None) else str(key)


def _hide_all(values: list[object], environ: Mapping[str, str]) -> list[Any]:
    """Also what follows its name: in a pair such as a header, and after an option of a command."""
    names = [""]
    for one in values[:-1]:
        is_name = isinstance(one, str) and (len(values) == 2 or one.startswith("--"))
        names.append(str(one) if is_name else "")
    return [hide(one, name, environ) for one, name in zip(values, names, strict=False)]


@lru_cache(maxsize=4)
def _values(environ: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Values of variables that are secrets, and passwords in their URLs, the longest first."""
    found = {value for name, value in environ if is_secret(name)}
    found |= {password for _, value in environ for _, password in _URL.findall(value)}
    return tuple(sorted((one for one in found if len(one) >= _SHORTEST), key=len, reverse=True))
