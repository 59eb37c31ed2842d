"""Readers of bank customers' questions: one of 77 intents, by three real models, frozen in a file.

tfidf counts words; minilm puts a trained head on sentence embeddings (minilm.py); ensemble is the
mean of a support vector machine's and another head's probabilities. They are those of
scenarios/measure/intents.py, so that what is served is what was measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fallwise.gateway.minilm import MiniLM
from fallwise.gateway.question import Answer, Question
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
    """Reads what a question wants, with one model, on as many threads as the tier has servers."""

    def __init__(self, model: str, file: Path, servers: int):
        import joblib
        from threadpoolctl import threadpool_limits

        # One short text is no work to share: more threads only make the slowest readings slower.
        threadpool_limits(1)
        parts = joblib.load(file)
        self.intents: list[str] = parts["intents"]
        self.probabilities = reader_of(model, parts, None if model == "tfidf" else MiniLM())
        self.threads = ThreadPoolExecutor(servers, thread_name_prefix=model)

    async def __call__(self, question: Question) -> Answer:
        """Return the intent, and how sure the model is."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, self.read, question.text)

    def read(self, text: str) -> Answer:
        """Return the likeliest intent; its score is its probability."""
        probability = self.probabilities(text)
        best = int(probability.argmax())
        return Answer(self.intents[best], str(best), float(probability[best]))
