"""Readers of intents: frozen in a file, as they were trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fallwise.errors import ScenarioError
from fallwise.gateway import application
from fallwise.gateway.intents import IntentReader, reader_of
from gateway_servers import scenario_of

pytest.importorskip("sklearn", reason="scikit-learn comes with the extra `measure`")

TEXTS = ["my card was stolen", "someone stole a card", "what is the rate", "which rate applies"]


def test_what_was_trained_is_what_is_served(tmp_path: Path) -> None:
    import joblib
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, [0, 0, 1, 1])
    joblib.dump({"words": words, "intents": ["stolen", "rate"]}, tmp_path / "m.joblib")
    reader = IntentReader("tfidf", tmp_path / "m.joblib")
    answer = reader.read("stolen card")
    assert (answer.text, answer.identity) == ("stolen", "0")
    assert answer.score == words.predict_proba(["stolen card"])[0].max() > 0.5


def test_an_ensemble_is_the_mean_of_words_and_meaning() -> None:
    class Sure:
        def __init__(self, *p: float) -> None:
            self.p = np.array([p])

        def predict_proba(self, _: object) -> object:
            return self.p

    parts = {"letters": Sure(0.8, 0.2), "much": Sure(0.4, 0.6), "little": Sure(0.1, 0.9)}
    assert reader_of("ensemble", parts, len)("x").tolist() == pytest.approx([0.6, 0.4])
    assert reader_of("minilm", parts, len)("x").tolist() == [0.1, 0.9]


def test_a_file_that_is_not_there_is_said_before_the_start() -> None:
    live = {"kind": "intents", "model": "tfidf", "file": "nowhere.joblib"}
    service = {"kind": "fixed", "value_s": 0.01}
    tier = {"name": "tfidf", "kind": "pool", "live": live, "service": service}
    case = scenario_of([{**tier, "answers": {"accuracy": 0.7}}])
    with pytest.raises(ScenarioError, match=r"no such file; make it: python scenarios/measure"):
        application(case)
