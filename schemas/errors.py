"""Errors that are the user's to mend: one line that names the file, key or value; the command line exits with 2."""


class UsageError(ValueError):
    """Wrong usage or configuration, found before any work starts."""
