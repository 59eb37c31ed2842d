"""Readers of scanned invoices: three real models, trained at start on handwritten digits.

An invoice has a subtotal of three digits, a tax of two and a total of four. The question holds its
nine scans of 8 x 8 pixels from 0 to 16, a letter a pixel from `a` to `q`: 576 letters. The models
and the scans that train them are those of scenarios/measure/invoices.py, so that what is served is
what was measured. They know nothing but these scans, and are no readers of real invoices.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fallwise.gateway.question import Answer, CallFailed, Question
from fallwise.scenario.live import Arithmetic, Invoices
from fallwise.tables import Floats

__all__ = ["Arithmetics", "Reader", "pixels_of", "text_of"]

SCANS: Final = 9
PIXELS: Final = 64
BRIGHTEST: Final = 16
FIRST: Final = ord("a")
TRAINING: Final = bytes.fromhex(
    "248d5de98eebc6889ea4cd7cfd2d26aa3142d653bea40b2cfbd2cc0b612e2c1524ce67fc5ad080035f69da6a"
    "6f9e470e7004a541ff345e9aaa4b8b3eee1568207db9d0104b926969c2a75dd2bb3ad43efadb64d0cc1ad0a2"
    "4974edc652045277408337e75d8c980e8659b354c8a6b8af73a5e3266246decccab27b2d2a3b1a8c6f8e397b"
    "5d224b878b2c6a618956dfd90424a90e7c268055032e50735ea21590d6a466409e79df72d6e37cba73b6931c"
    "9922fe9c6f25ffb590380fb9bd554c4501e7e61a32018b15a6623c7d7d2f57282dfa4ac32e71d9335aa24e17"
    "7ebfbfcb88"
)
"""Which of load_digits' 1,797 scans train the models, a bit each: the same 900 as measured."""


def text_of(pixels: Floats) -> str:
    """Return the question for the nine scans of an invoice, (9, 64) from 0 to 16."""
    return (np.asarray(pixels).ravel().astype(np.uint8) + FIRST).tobytes().decode()


def pixels_of(text: str) -> Floats:
    """Return the (9, 64) pixels in a question, from 0 to 16; CallFailed if it is no invoice.

    >>> bool((pixels_of(text_of(np.full((9, 64), 7.0))) == 7).all())
    True
    """
    raw = np.frombuffer(text.strip().encode(), np.uint8).astype(np.float64) - FIRST
    if len(raw) != SCANS * PIXELS or raw.min() < 0 or raw.max() > BRIGHTEST:
        raise CallFailed(f"an invoice is {SCANS * PIXELS} letters from a to q")
    return raw.reshape(SCANS, PIXELS)


class Reader:
    """Reads invoices with one model."""

    def __init__(self, live: Invoices):
        from sklearn.datasets import load_digits

        pixels, digits = load_digits(return_X_y=True)
        training = np.unpackbits(np.frombuffer(TRAINING, np.uint8))[: len(digits)].astype(bool)
        self.live = live
        self.model = _untrained(live.model).fit(pixels[training] / BRIGHTEST, digits[training])

    def read(self, text: str) -> Answer:
        """Return `123 + 45 = 0168`; its score is the product of the digits' probabilities."""
        probability = self.model.predict_proba(pixels_of(text) / BRIGHTEST)
        digits = "".join(map(str, probability.argmax(axis=1)))
        answer = f"{digits[:3]} + {digits[3:5]} = {digits[5:]}"
        score = float(probability.max(axis=1).prod())
        return Answer(answer, digits, score, self.live.prompt_tokens, self.live.output_tokens)


def _untrained(model: str) -> Any:
    if model == "naive-bayes":
        from sklearn.naive_bayes import GaussianNB

        # With the default smoothing, pixels that are blank in all training scans decide: .83.
        return GaussianNB(var_smoothing=3e-3)
    if model == "logistic":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=1000)
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import SVC

    # A support vector machine has no probabilities; one temperature fits them by five folds.
    machine = OneVsRestClassifier(SVC(C=10, gamma="scale"))
    return CalibratedClassifierCV(machine, method="temperature", ensemble=False)


class Arithmetics:
    """Verifies what was read by its own arithmetic; the answer is the message before the last."""

    def __init__(self, live: Arithmetic):
        self.live = live

    async def __call__(self, question: Question) -> Answer:
        """Return the verdict on an answer: subtotal + tax == total, or total >= subtotal."""
        read = str(question.body["messages"][-2]["content"])
        digits = "".join(letter for letter in read if letter.isdigit())
        if len(digits) != SCANS:
            return Answer("no", "no", passes=False)
        subtotal, tax, total = int(digits[:3]), int(digits[3:5]), int(digits[5:])
        passes = subtotal + tax == total if self.live.rule == "sum" else total >= subtotal
        return Answer("yes" if passes else "no", str(passes), passes=passes)
