"""Bank customers' questions and their intents, by three models: scenarios/data/support-intents.

    python scenarios/measure/intents.py [FOLDER]        (of banking77_train.csv.gz and _test)

The 3,080 test questions of Banking77 (77 intents; Casanueva et al., Efficient Intent Detection with
Dual Sentence Encoders, 2020; CC BY 4.0), in two halves at random: split `train` is for choosing
thresholds, `test` for reporting. The table holds numbers only: query_id is the row in the test
set, answer_id the intent's place in the alphabet; it has no text.
tfidf: TF-IDF of words and logistic regression, 10 labelled questions an intent. minilm:
embeddings by all-MiniLM-L6-v2 and logistic regression, the same 10. ensemble: mean of the
probabilities of a linear support vector machine on TF-IDF of words and letters (one temperature, by
five folds) and of logistic regression on the embeddings, both on all 10,003 labelled questions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from minilm import PACKAGE, SHA256, MiniLM
from record import ROOT, provenance, save, timed
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

__all__ = ["readers"]

SEED = 0
FEW = 10
"""Labelled questions an intent, of the two cheap models."""

Reader = Callable[[str], np.ndarray]


def readers(text: pd.Series, intent: np.ndarray) -> dict[str, Reader]:
    """Return the trained models, cheapest first: each gives a text's 77 probabilities."""
    chance = np.random.default_rng([SEED, 0])
    few = np.concatenate(
        [chance.choice(np.flatnonzero(intent == c), FEW, replace=False) for c in range(77)]
    )
    embed = MiniLM()
    embedded = np.stack([embed(t) for t in text])
    words = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, max_iter=1000))
    words.fit(text.iloc[few], intent[few])
    little = LogisticRegression(C=10, max_iter=1000).fit(embedded[few], intent[few])
    much = LogisticRegression(C=10, max_iter=1000).fit(embedded, intent)
    letters = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        ),
        CalibratedClassifierCV(LinearSVC(), method="temperature", ensemble=False),
    ).fit(text, intent)
    return {
        "tfidf": lambda t: words.predict_proba([t])[0],
        "minilm": lambda t: little.predict_proba([embed(t)])[0],
        "ensemble": lambda t: (
            (letters.predict_proba([t])[0] + much.predict_proba([embed(t)])[0]) / 2
        ),
    }


def measure(folder: Path) -> pd.DataFrame:
    """Return the evaluation table: every test question read by every model, one at a time."""
    known, asked = (pd.read_csv(folder / f"banking77_{part}.csv.gz") for part in ("train", "test"))
    names, intent = np.unique(known["category"], return_inverse=True)
    truth = np.searchsorted(names, asked["category"])
    n = len(asked)
    reported = np.random.default_rng([SEED, 1]).permutation(n) >= n // 2
    tables = []
    for order, (name, reader) in enumerate(readers(known["text"], intent).items()):
        probabilities, seconds = timed(reader, asked["text"].tolist())
        probability = np.stack(probabilities)
        answer = probability.argmax(axis=1)
        tables.append(
            pd.DataFrame(
                {
                    "query_id": np.arange(n, dtype=np.int32),
                    "split": np.where(reported, "test", "train"),
                    "model": name,
                    "tier_order": np.int8(order),
                    "correct": (answer == truth).astype(np.int8),
                    "confidence": probability.max(axis=1).astype(np.float32),
                    "answer_id": answer.astype(np.int32),
                    "seconds": np.array(seconds, np.float32),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data" / "text"
    with threadpool_limits(1):
        table = measure(folder)
    packages = ["scikit-learn", "numpy", "scipy", "pandas", "tokenizers", "safetensors"]
    weights = f"{PACKAGE}, model.safetensors SHA-256 {SHA256}"
    about = " ".join((__doc__ or "").split("\n\n", 2)[2].split())
    save("support-intents", about, table, provenance(SEED, packages, weights=weights))
