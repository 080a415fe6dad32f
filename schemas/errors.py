"""Errors that are told in one line, without a traceback; the command line exits with 2 or 1."""


class UsageError(ValueError):
    """Wrong usage or configuration, found before any work starts. The line names file, key or value; exit status 2."""


class JobError(RuntimeError):
    """A job cannot be done for a reason outside its usage. The line says what failed; exit status 1."""
