"""One module a command: `python -m jobs.NAME` and `reelmill NAME` are the same."""
