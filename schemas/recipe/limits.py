"""[limits]: what one input may cost."""

from __future__ import annotations

from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass

from schemas.recipe.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class LimitsConfig:
    """What one input may cost; beyond, it is a row with a reason."""

    stall_s: PositiveFloat = 60.0
    """Without a decoded packet for so long, the decoder hangs."""
    call_s: PositiveFloat = 4 * 3600.0
    """Seconds that one input may take in all: a file that gives packets for ever is never stalled."""
    memory_mib: PositiveFloat = 4096.0
    """Memory of the process that decodes."""
