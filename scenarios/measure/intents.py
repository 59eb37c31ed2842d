"""Bank customers' questions and their intents, by three models: scenarios/data/support-intents.

    python scenarios/measure/intents.py [FOLDER]        (of banking77_train.csv.gz and _test)
    python scenarios/measure/intents.py [FOLDER] --save intents.joblib

The 3,080 test questions of Banking77 (77 intents; Casanueva et al., Efficient Intent Detection with
Dual Sentence Encoders, 2020; CC BY 4.0), in two halves at random: split `train` is for choosing
thresholds, `test` for reporting. The table holds numbers only: query_id is the row in the test
set, answer_id the intent's place in the alphabet; it has no text.
tfidf: TF-IDF of words and logistic regression, 10 labelled questions an intent. minilm:
embeddings by all-MiniLM-L6-v2 and logistic regression, the same 10. ensemble: mean of the
probabilities of a linear support vector machine on TF-IDF of words and letters (one temperature, by
five folds) and of logistic regression on the embeddings, both on all 10,003 labelled questions.

With --save nothing is measured: the trained models go to a file, frozen, for live tiers (`live:
{kind: intents, ...}`); none of them has seen a test question.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from fallwise.gateway.intents import reader_of
from minilm import PACKAGE, SHA256, MiniLM
from record import ROOT, provenance, save, timed
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

__all__ = ["MODELS", "questions", "save_models", "trained"]

SEED = 0
TEXTS = ROOT.parent / "shared" / "data" / "text"
FEW = 10
"""Labelled questions an intent, of the two cheap models."""

MODELS = ("tfidf", "minilm", "ensemble")
"""Cheapest first."""


def trained(text: pd.Series, intent: np.ndarray) -> dict[str, Any]:
    """Return the trained parts: on few questions (words, little), on all (letters, much)."""
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
    return {"words": words, "little": little, "letters": letters, "much": much}


def measure(folder: Path) -> pd.DataFrame:
    """Return the evaluation table: every test question read by every model, one at a time."""
    known, asked = (pd.read_csv(folder / f"banking77_{part}.csv.gz") for part in ("train", "test"))
    names, intent = np.unique(known["category"], return_inverse=True)
    truth = np.searchsorted(names, asked["category"])
    n = len(asked)
    reported = np.random.default_rng([SEED, 1]).permutation(n) >= n // 2
    tables = []
    parts, embed = trained(known["text"], intent), MiniLM()
    for order, name in enumerate(MODELS):
        reader = reader_of(name, parts, embed)
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


def save_models(folder: Path, file: Path) -> None:
    """Write the trained models and the names of the intents to a file."""
    known = pd.read_csv(folder / "banking77_train.csv.gz")
    names, intent = np.unique(known["category"], return_inverse=True)
    parts = trained(known["text"], intent)
    joblib.dump(parts | {"intents": names.tolist()}, file, compress=3)


def questions(folder: Path) -> list[tuple[int, str, str]]:
    """Return the test questions: query_id, text, and the name of the intent."""
    asked = pd.read_csv(folder / "banking77_test.csv.gz")
    return list(zip(range(len(asked)), asked["text"], asked["category"], strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure, or save, the readers of intents.")
    parser.add_argument("folder", type=Path, nargs="?", default=TEXTS)
    parser.add_argument("--save", type=Path, help="write the trained models here, and end")
    options = parser.parse_args()
    with threadpool_limits(1):
        if options.save is not None:
            save_models(options.folder, options.save)
            sys.exit()
        table = measure(options.folder)
    packages = ["scikit-learn", "numpy", "scipy", "pandas", "tokenizers", "safetensors"]
    weights = f"{PACKAGE}, model.safetensors SHA-256 {SHA256}"
    about = " ".join((__doc__ or "").split("\n\n", 2)[2].split())
    save("support-intents", about, table, provenance(SEED, packages, weights=weights))
