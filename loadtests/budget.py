"""What a drive may spend at a deployment that costs money."""

from __future__ import annotations

from typing import Any

__all__ = ["Budget"]


class Budget:
    """Lets requests out while what is spent, and what is on its way, stays within a limit.

    Prices are those of the whole way up to the tier that answered, since the calls of the tiers
    before it are paid too. A request in flight counts as the dearest one that there can be.
    """

    def __init__(self, rules: dict[str, Any]):
        """Take limit_usd, dearest_usd, and prices: by model or header, [request, prompt, output].

        prices are in USD: per request, per prompt token and per output token.
        """
        self.limit_usd, self.dearest_usd = float(rules["limit_usd"]), float(rules["dearest_usd"])
        self.prices: dict[str, list[float]] = rules["prices"]
        self.spent_usd, self.in_flight, self.stopped = 0.0, 0, False

    def lets_out(self) -> bool:
        """Return whether one more request may go; after the first that may not, none does."""
        ahead = (self.in_flight + 1) * self.dearest_usd
        self.stopped = self.stopped or self.spent_usd + ahead > self.limit_usd
        self.in_flight += not self.stopped
        return not self.stopped

    def note(self, reply: dict[str, Any]) -> None:
        """Count a reply: what it says it cost, or its tokens at their prices, or the dearest."""
        self.in_flight -= 1
        price = self.prices.get(reply.get("tier") or "") or self.prices.get(reply.get("model", ""))
        usd = self.dearest_usd
        if reply.get("usd") is not None:
            usd = float(reply["usd"])
        elif price is not None and "output_tokens" in reply:
            usd = price[0] + reply["prompt_tokens"] * price[1] + reply["output_tokens"] * price[2]
        self.spent_usd += usd
        self.dearest_usd = max(self.dearest_usd, usd)
