"""How a command ends that cannot do its work: one line on standard error, and the exit status.

Wrong usage is 2. A job that failed is 1. Unless the reason is known, the traceback is kept in a file that the line
names, and is printed as well where the environment sets REELMILL_DEBUG.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Collection

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

DEBUG = "REELMILL_DEBUG"
USAGE, FAILED, INTERRUPTED = 2, 1, 130
TYPES = {int: "an integer", float: "a number"}
MAX_CHARS = 500
"""Of a failed job's reason; the file has the rest."""


def refusal(program: str, error: BaseException, location: str = "") -> int:
    """Say on standard error why `program`, such as `reelmill train`, cannot do its work; returns the exit status.

    Args:
        location: of the data set, which an outage is told of if it is on a store.
    """
    from schemas.errors import JobError, UsageError, outage_in  # `schemas` imports pyarrow: too slow for the overview

    if isinstance(error, BrokenPipeError):
        return FAILED
    if isinstance(error, KeyboardInterrupt):
        return _say(program, "interrupted", INTERRUPTED)
    if isinstance(error, CycloptsError):
        return _say(program, usage_problem(error), USAGE)
    # Ray wraps what a worker raised.
    raised = getattr(error, "cause", None) or error
    if isinstance(raised, UsageError | JobError):
        return _say(program, one_line(raised), USAGE if isinstance(raised, UsageError) else FAILED)
    if "://" in location and (outage := outage_in(error)):
        return _say(program, f"data set {location}: {one_line(outage)}"[:MAX_CHARS], FAILED)
    reason = f"{type(raised).__name__}: {one_line(raised)}"[:MAX_CHARS]
    return _say(program, f"failed: {reason} (traceback in {_kept_traceback(program, error)})", FAILED)


def usage_problem(error: CycloptsError) -> str:
    """What is wrong with a command line: names the option or argument, and the nearest valid name."""
    argument = error.argument
    match error:
        case UnknownCommandError(unused_tokens=[word, *_]) if error.app:
            names = [name for name in error.app if not name.startswith("-")]
            return f"no job {word!r}{nearest_or_all(word, names)}"
        case UnknownOptionError():
            word = error.token.keyword or error.token.value
            names = [name for known in error.argument_collection for name in known.names]
            return f"unknown option {word}{nearest_or_all(word, names)}"
        case UnusedCliTokensError(unused_tokens=[word, *_]):
            return f"{word!r} is one argument too many"
        case MissingArgumentError() if argument:
            return f"{error.keyword} needs a value" if error.keyword else f"{argument.name} is missing"
        case CoercionError() if error.token and error.target_type in TYPES:
            return f"{error.token.keyword} {error.token.value}: must be {TYPES[error.target_type]}"
        case ValidationError() if argument:
            token = argument.tokens[0]
            return f"{token.keyword} {token.value}: {error.exception_message.rstrip('.').lower()}"
    return one_line(error).rstrip(".")


def nearest_or_all(word: str, names: Collection[str]) -> str:
    """How a line on an unknown word ends: the name most like it, or else all names."""
    from schemas.errors import did_you_mean

    return did_you_mean(word, names) or f"; there are {', '.join(names)}"


def one_line(error: BaseException) -> str:
    """An error's message without line breaks."""
    return " ".join(str(error).split())


def _say(program: str, message: str, status: int) -> int:
    print(f"{program}: {message}", file=sys.stderr)
    return status


def _kept_traceback(program: str, error: BaseException) -> str:
    """Write the traceback to a file that stays, and to standard error where that is asked for; returns the path."""
    text = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG):
        print(text, end="", file=sys.stderr)
    prefix = program.replace(" ", "-") + "-"
    with tempfile.NamedTemporaryFile("w", prefix=prefix, suffix=".log", delete=False, encoding="utf-8") as file:
        file.write(text)
    return file.name
