# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A threshold from your own labels
#
# **Question:** we have a thousand graded questions, each answered by a cheap and by a good model. From which confidence on may we
# ship the cheap answer, and how sure is that?
#
# Put your own CSV in the place of this one: one row for each question and model, with `query_id, model, correct, confidence, seconds`.

# %%
# %matplotlib inline
import fallwise
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

answers = pd.read_csv("../docs/examples/answers.csv")
answers.groupby("model")[["correct", "confidence", "seconds"]].mean().round(3)

# %% [markdown]
# Does the cheap model know when it is wrong? Of its answers, by confidence:

# %%
cheap = answers[answers.model == "cheap"]
bins = pd.cut(cheap.confidence, np.arange(0, 1.01, 0.2))
cheap.groupby(bins, observed=True).correct.agg(["size", "mean"]).round(2)

# %% [markdown]
# It does: the more confident, the more often right. It is right far more often than it says, though: a number like 0.5 means nothing
# by itself, and a threshold has to be looked for.
#
# What the table cannot know are prices and traffic. These are assumed:

# %%
scenario = fallwise.parse(
    {
        "name": "mine",
        "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 0.5}},
        "answers": {"source": "replay", "table": "../docs/examples/answers.csv"},
        "tiers": [
            {
                "name": "cheap",
                "kind": "api",
                "service": {"kind": "table"},
                "usd_per_request": 0.0003,
                "threshold": 0.5,
            },
            {
                "name": "good",
                "kind": "api",
                "service": {"kind": "table"},
                "usd_per_request": 0.004,
            },
        ],
    }
)

# %% [markdown]
# The threshold is chosen on one half of the questions and judged on the other. A number that was chosen on the same labels that it is
# reported on is too good to be true.

# %%
goal = fallwise.Goal(margin=0.02, sure=True)  # at most two points below the good model alone
found = fallwise.tune(scenario, goal)
pick = found["pick"]
pd.DataFrame({m: pick[m] for m in ("cost_usd_mean", "quality", "escalation_rate", "saving")}).T

# %%
curve = pd.DataFrame(found["curve"])
figure, ax = plt.subplots(figsize=(6, 3.5))
ax.plot(1000 * curve.cost_usd_mean, 100 * curve.quality, ".-", label="every threshold")
ax.plot(
    1000 * pick["cost_usd_mean"]["value"], 100 * pick["quality"]["value"], "o", label="the pick"
)
for name in ("cheapest_only", "frontier_only"):
    alone = found[name]
    ax.plot(1000 * alone["cost_usd_mean"]["value"], 100 * alone["quality"]["value"], "ks")
ax.set_xlabel("US dollars for 1,000 requests")
ax.set_ylabel("right (%)")
_ = ax.legend()
# %% [markdown]
# How much is luck? The same, with only a hundred graded questions, ten times:

# %%
ids = answers.query_id.unique()
chance = np.random.default_rng(1)
tried = []
for _ in range(10):
    few = answers[answers.query_id.isin(chance.choice(ids, 200, replace=False))]
    few.to_csv("few.csv", index=False)
    small = fallwise.override(scenario, {"answers.table": "few.csv"})
    result = fallwise.tune(small, fallwise.Goal(margin=0.02))
    tried.append(result["pick"]["threshold"])
sorted(np.nan if t is None else round(t, 2) for t in tried)

# %% [markdown]
# **Answer:**

# %%
low, high = pick["saving"]["low"], pick["saving"]["high"]
print(
    f"Ship the cheap answer from a confidence of {pick['threshold']:.2f} on. That saves "
    f"{pick['saving']['value']:.0%} ({low:.0%} to {high:.0%}) and costs "
    f"{-100 * pick['quality_difference']['value']:.1f} points of quality.\n"
    f"With a hundred labels to choose on, the same question gave thresholds from "
    f"{np.nanmin(np.array(tried, float)):.2f} to {np.nanmax(np.array(tried, float)):.2f}: "
    "grade more before you believe one."
)

# %%
from pathlib import Path

Path("few.csv").unlink()
