"""What a chat completion says of itself: model, tokens and text, and what named headers say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["reply_of"]


def reply_of(
    raw: bytes, headers: Mapping[str, str], tier_header: str = "", cost_header: str = ""
) -> dict[str, Any]:
    """Return model, text, prompt_tokens, output_tokens, tier and usd, as far as they are said.

    raw is the body: a completion as JSON, or the server-sent events of a streamed one.
    """
    found: dict[str, Any] = {}
    if tier_header and headers.get(tier_header):
        found["tier"] = headers[tier_header]
    try:
        if cost_header and headers.get(cost_header):
            found["usd"] = float(headers[cost_header])
        pieces = []
        for data in _events(raw) if raw.startswith((b"data:", b":")) else [json.loads(raw)]:
            if isinstance(data.get("model"), str):
                found["model"] = data["model"]
            for choice in data.get("choices") or ():
                said = choice.get("delta") or choice.get("message") or {}
                pieces.append(said.get("content") or "")
            if usage := data.get("usage"):
                found["prompt_tokens"] = int(usage["prompt_tokens"])
                found["output_tokens"] = int(usage["completion_tokens"])
        found["text"] = "".join(pieces)
    except (ValueError, TypeError, LookupError, AttributeError):
        pass  # Not a completion: nothing more is known, and the judge says so.
    return found


def _events(raw: bytes) -> list[dict[str, Any]]:
    lines = (line[5:].strip() for line in raw.splitlines() if line.startswith(b"data:"))
    return [json.loads(line) for line in lines if line != b"[DONE]"]
