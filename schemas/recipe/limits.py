"""[limits]: what one input may cost, and how often it is tried."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class LimitsConfig:
    """What one input may cost, and how often it is tried; beyond, it is a row with a reason."""

    stall_s: PositiveFloat = 60.0
    """Seconds without a decoded packet after which a decoder counts as hung."""
    call_s: PositiveFloat = 4 * 3600.0
    """Seconds that one input may take in all; a file that gives packets for ever never stalls."""
    max_failures: PositiveInt = 3
    """How often what fails in the world (I/O, a server, memory, time) is tried, once a run, before it is given up."""
    memory_mib: PositiveFloat = 4096.0
    """MiB of memory that the decoding process may use."""
