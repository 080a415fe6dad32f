"""Tokens that go past some of the blocks in training, and join the others behind them (TREAD, Krause et al. 2025).

A step costs less, and no token is lost: those that went past are answered too. In sampling all go through all blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.transformer.config import TransformerConfig


@dataclass(frozen=True)
class Route:
    """The blocks that are gone past, counted from 0."""

    first_block: int
    last_block: int

    def require_fit(self, depth: int, *, long_skips: bool = False) -> None:
        """Check that a transformer of `depth` blocks has these, and another behind them.

        Raises:
            ValueError: it has not, or its long skips would lead from all tokens to some; the message starts with the
                setting.
        """
        if self.last_block < self.first_block:
            raise ValueError(f"last_block = {self.last_block}: comes before first_block = {self.first_block}")
        if self.last_block > depth - 2:
            raise ValueError(f"last_block = {self.last_block}: must be below {depth - 1}, as the last block sees all")
        opposite = depth - 1 - self.first_block
        if long_skips and self.last_block != opposite:
            raise ValueError(
                f"last_block = {self.last_block}: with long_skips it must be {opposite}, as far from the last block "
                f"as first_block = {self.first_block} is from the first"
            )

    def layouts(self, config: TransformerConfig) -> tuple[str, ...]:
        """The attention layouts of its blocks."""
        return tuple(config.layout(i) for i in range(self.first_block, self.last_block + 1))
