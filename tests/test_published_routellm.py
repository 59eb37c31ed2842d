"""RouteLLM's tables: what requests by lot and an oracle need for 95 % of the strong model.

Source of the figures: Ong et al., RouteLLM (2024), from its published per-query results, rows on
its own decontamination list left out; prices .24 and 24.7 USD per million tokens.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fallwise.planning.pick import Goal
from fallwise.planning.replayed import replayed
from fallwise.planning.tune import tune

TABLE = Path(__file__).parents[2] / "shared/data/evals/routellm_mmlu_gsm8k_mtbench.parquet"
MODELS = {"Mixtral-8x7B-Instruct-v0.1": 0.24, "gpt-4-1106-preview": 24.7}

# dataset: n, weak, strong, either right, then by lot and by oracle: strong calls, saving.
ROWS = [
    ("mt_bench", 144, 0.8281, 0.9212, 0.9320, (0.505, 0.062), (0.490, 0.928)),
    ("mmlu", 14_037, 0.6809, 0.8059, 0.8587, (0.678, 0.085), (0.319, 0.906)),
    ("gsm8k", 1_307, 0.6373, 0.8577, 0.9296, (0.805, 0.178), (0.193, 0.815)),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_published_row_is_reproduced(row: tuple) -> None:  # type: ignore[type-arg]
    if not TABLE.exists():
        pytest.skip("needs the evaluation tables in ../shared/data")
    dataset, n, weak, strong, either, calls, saving = row
    case = replayed(
        TABLE, list(MODELS), dataset, leave_out="contaminated", prices=list(MODELS.values())
    )
    found = tune(case, Goal(quality=0.95 * strong))
    assert found["labels"]["reported_on"] == n
    assert found["cheapest_only"]["quality"]["value"] == pytest.approx(weak, abs=6e-5)
    assert found["frontier_only"]["quality"]["value"] == pytest.approx(strong, abs=6e-5)
    assert found["oracle"]["quality"] == pytest.approx(either, abs=5e-4)
    for name, share, saved in zip(("random_mix", "oracle"), calls, saving, strict=True):
        at = found["at_goal"][name]
        assert at["frontier_share"] == pytest.approx(share, abs=1.1e-3), name
        assert at["saving"] == pytest.approx(saved, abs=1.1e-3), name
