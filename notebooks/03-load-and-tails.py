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
# # Load, tails and the worst path
#
# **Question:** the cascade is quick in the demo. What happens to the slowest one in a hundred when the morning's traffic comes, and
# what helps?
#
# A small model on our own two machines (four at a time each), a hosted one behind it.

# %%
# %matplotlib inline
import fallwise
import pandas as pd

scenario = fallwise.parse(
    {
        "name": "tails",
        "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 4}},
        "answers": {"source": "synthetic"},
        "tiers": [
            {
                "name": "small",
                "kind": "pool",
                "replicas": 2,
                "slots": 4,
                "replica_usd_per_hour": 1.5,
                "service": {"kind": "lognormal", "p50_s": 0.8, "p99_s": 4},
                "answers": {"accuracy": 0.8, "auroc": 0.8, "loading": 0.7},
                "threshold": 0.75,
            },
            {
                "name": "big",
                "kind": "api",
                "service": {"kind": "lognormal", "p50_s": 1.5, "p99_s": 6},
                "answers": {"accuracy": 0.92, "loading": 0.7},
                "usd_per_request": 0.004,
            },
        ],
        "run": {"requests": 40_000},
    }
)

# %% [markdown]
# The same 40,000 requests, faster and faster:

# %%
rows = {}
for rate in (2, 4, 6, 7, 7.5):
    loaded = fallwise.override(scenario, {"traffic.arrivals.rate_rps": rate})
    summary = fallwise.summarise(fallwise.predict(loaded), baselines=False)
    rows[rate] = {
        "busy": summary["tiers"][0]["utilisation"]["value"],
        **{f"p{q}_s": summary[f"sojourn_s_p{q}"]["value"] for q in (50, 95, 99)},
    }
load = pd.DataFrame(rows).T
load.index.name = "requests a second"
load.round(2)

# %%
ax = load[["p50_s", "p95_s", "p99_s"]].plot(marker="o", figsize=(6, 3.5), ylabel="seconds")
_ = ax.set_ylim(0)
# %% [markdown]
# Up to three quarters busy nothing happens, and then all of it at once: waiting grows with 1 / (1 - busy). An average over a quiet day
# would have hidden it. At eight a second there is no number to wait for, and the summary says so:

# %%
over = fallwise.override(scenario, {"traffic.arrivals.rate_rps": 8})
print(fallwise.summarise(fallwise.predict(over), baselines=False)["findings"][0])

# %% [markdown]
# Which path makes the tail at seven a second?

# %%
busy = fallwise.override(scenario, {"traffic.arrivals.rate_rps": 7})


def paths(case):
    summary = fallwise.summarise(fallwise.predict(case), baselines=False)
    table = pd.DataFrame(
        [
            {
                "path": " > ".join(row["path"]),
                "share": row["share"]["value"],
                "right": row["quality"]["value"],
                "p99_s": row["sojourn_s_p99"]["value"],
            }
            for row in summary["paths"]
        ]
    )
    return summary, table.set_index("path").round(3)


as_is, table = paths(busy)
table

# %% [markdown]
# Who is sent on has waited in the small model's queue first, and then waits again. Two things that one might try: a timeout on the small
# model, after which a request goes on at once, and a third machine.

# %%
tried = {
    "as it is": busy,
    "timeout of 2 s": fallwise.override(busy, {"tiers.small.timeout_s": 2}),
    "three machines": fallwise.override(busy, {"tiers.small.replicas": 3}),
}
results = {}
for name, case in tried.items():
    summary, _ = paths(case)
    results[name] = {m: summary[m]["value"] for m in ("cost_usd_mean", "quality", "sojourn_s_p99")}
results = pd.DataFrame(results).T
results.round(4)

# %% [markdown]
# **Answer:**

# %%
print(
    f"From 2 to 6 requests a second p99 goes from {load.p99_s[2]:.1f} to {load.p99_s[6]:.1f} s, "
    f"and from 6 to 7.5 to {load.p99_s[7.5]:.1f} s.\n"
    f"At 7 a second, p99 is {results.sojourn_s_p99['as it is']:.1f} s; a timeout of 2 s makes it "
    f"{results.sojourn_s_p99['timeout of 2 s']:.1f} s and costs "
    f"{results.cost_usd_mean['timeout of 2 s'] / results.cost_usd_mean['as it is'] - 1:+.0%}; "
    f"a third machine makes it {results.sojourn_s_p99['three machines']:.1f} s and costs "
    f"{results.cost_usd_mean['three machines'] / results.cost_usd_mean['as it is'] - 1:+.0%}."
)
