"""A Redis in this process, for tests: `memory://NAME` leads to it."""

from .server import Server, Written
from .serving import find_server, serve
from .session import Faults, Session

__all__ = ["Faults", "Server", "Session", "Written", "find_server", "serve"]
