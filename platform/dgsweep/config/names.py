"""The nearest valid name to a mistyped one."""

import difflib
from collections.abc import Iterable


def nearest_name(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that looks most like `name`, or None when none is close."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def name_advice(name: str, valid: Iterable[str]) -> str:
    """Advice for an unknown name: the nearest valid one when there is one, and every valid name otherwise."""
    names = sorted(valid)
    near = nearest_name(name, names)
    if near is not None:
        return f"did you mean `{near}`?"
    return f"valid: {', '.join(names)}" if names else "nothing is allowed here"
