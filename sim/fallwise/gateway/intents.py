"""Readers of bank customers' questions: one of 77 intents, by three real models, frozen in a file.

tfidf counts words; minilm puts a trained head on sentence embeddings (minilm.py); ensemble is the
mean of a support vector machine's and another head's probabilities. They are those of
scenarios/measure/intents.py, so that what is served is what was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fallwise.gateway.minilm import MiniLM
from fallwise.gateway.question import Answer
from fallwise.tables import Floats

__all__ = ["IntentReader", "reader_of"]


def reader_of(
    model: str, parts: dict[str, Any], embed: Callable[[str], Any] | None
) -> Callable[[str], Floats]:
    """Return a model made of trained parts: it gives a text's probability of every intent."""

    def embedded(part: str, text: str) -> Floats:
        assert embed is not None
        return np.asarray(parts[part].predict_proba([embed(text)])[0])

    if model == "tfidf":
        return lambda text: np.asarray(parts["words"].predict_proba([text])[0])
    if model == "minilm":
        return lambda text: embedded("little", text)
    return lambda text: (parts["letters"].predict_proba([text])[0] + embedded("much", text)) / 2


class IntentReader:
    """Reads what a question wants, with one model."""

    def __init__(self, model: str, file: Path):
        import joblib

        parts = joblib.load(file)
        self.intents: list[str] = parts["intents"]
        self.probabilities = reader_of(model, parts, None if model == "tfidf" else MiniLM())

    def read(self, text: str) -> Answer:
        """Return the likeliest intent; its score is its probability."""
        probability = self.probabilities(text)
        best = int(probability.argmax())
        return Answer(self.intents[best], str(best), float(probability[best]))
