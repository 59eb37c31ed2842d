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
# # A first run
#
# **Question:** we call gpt-4o for everything. What would it cost, and what would it do to the answers, if gpt-4o-mini answered first
# and sent on only what it is unsure of?
#
# Nothing is called here. Accuracies, prices and times are published; how the two models fail together is an assumption, and is
# shown as one. See `scenarios/mmlu-4o-mini.yaml`.

# %%
# %matplotlib inline
import fallwise
import pandas as pd

scenario = fallwise.read("../scenarios/mmlu-4o-mini.yaml")
[(tier.name, tier.threshold) for tier in scenario.tiers]

# %% [markdown]
# 20,000 requests are drawn once. Each has, for each model, a score and whether the answer would be right. gpt-4o-mini's answer is
# accepted when `score >= threshold`; otherwise the request goes on to gpt-4o.

# %%
prediction = fallwise.predict(scenario, n=20_000)
summary = fallwise.summarise(prediction)

rows = {"this cascade": summary, **summary["baselines"]}
measures = ["cost_usd_mean", "quality", "sojourn_s_p50", "sojourn_s_p95"]
pd.DataFrame({name: {m: row[m]["value"] for m in measures} for name, row in rows.items()}).T.map(
    "{:.4g}".format
)

# %% [markdown]
# The same requests met all three, so the differences between the rows are the cascade's doing, not luck. What each path did:

# %%
pd.DataFrame(
    [
        {
            "path": " > ".join(row["path"]),
            "share": row["share"]["value"],
            "right": row["quality"]["value"],
            "p95_s": row["sojourn_s_p95"]["value"],
        }
        for row in summary["paths"]
    ]
).set_index("path").round(3)

# %% [markdown]
# Is this threshold a good one? The curve has all the others; the grey line is what drawing lots for gpt-4o would give.

# %%
figures = dict(fallwise.figures(summary, prediction))
figures["quality-cost"]

# %% [markdown]
# What is hard for the small model is hard for the big one:

# %%
frontier = summary["frontier"]
print(f"gpt-4o is right on {frontier['quality_overall']['value']:.1%} of all requests,")
print(f"but on {frontier['quality_escalated']['value']:.1%} of those that are sent on to it.")

# %% [markdown]
# **Answer:**

# %%
saving, quality = summary["saving"], summary["quality"]["value"]
alone = summary["baselines"]["frontier_only"]["quality"]["value"]
print(
    f"It saves {saving['value']:.0%} ({saving['low']:.0%} to {saving['high']:.0%}) of the bill; "
    f"quality falls by {100 * (alone - quality):.1f} points.\n"
    f"Half of the requests are done in {summary['sojourn_s_p50']['value']:.2f} s, "
    f"but the slowest twentieth takes over {summary['sojourn_s_p95']['value']:.2f} s: "
    "who is sent on waits twice."
)
