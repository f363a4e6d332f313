"""Passwords in addresses: taken out of every text that leaves the process, whichever room writes it."""

import logging
import re

_USER = re.compile(r"(?<=://)[^/\s@'\"]+@")
_PARAMETER = re.compile(
    r"(?i)(?<=[?&;])((?:[\w-]*(?:password|passwd|token|secret|credential|signature))|access_?key|api_?key|pwd)="
    r"(?!\.\.\.)[^&;\s'\"]+"
)
_BEARER = re.compile(r"\b(Bearer|Authorization: Basic)\s+[A-Za-z0-9+/._~-]{8,}=*")


def without_password(text: str) -> str:
    """Take user and password, secret parameters and authorization headers out of every address in a text."""
    return _BEARER.sub(r"\1 ...", _PARAMETER.sub(r"\1=...", _USER.sub("", text)))


def holds_password(text: str) -> bool:
    """Tell whether a text holds what `without_password` takes out."""
    return without_password(text) != text


class ScrubbingFormatter(logging.Formatter):
    """Formats a log record, its traceback too, without passwords: libraries log the addresses that they are given."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as the base class does, then take secrets out."""
        return without_password(super().format(record))
