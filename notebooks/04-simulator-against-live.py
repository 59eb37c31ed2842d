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
# # The simulator against a live system
#
# **Question:** why should anybody believe the prediction?
#
# Because it can be held against a deployment. `fallwise check` serves the scenario on this machine as a gateway, over tiers that take
# as long as the scenario says, sends it the same requests with Locust, and compares what it measured with what was predicted.
# With `--host` the deployment is your own.

# %%
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

SCENARIO = """
name: against-live
traffic:
  arrivals: {kind: poisson, rate_rps: 60}
answers: {source: synthetic}
tiers:
  - name: small
    kind: pool
    replicas: 6
    answers: {accuracy: 0.8, auroc: 0.85, loading: 0.6}
    threshold: 0.7
    service: {kind: lognormal, p50_s: 0.03, p99_s: 0.1}
    usd_per_request: 0.0001
  - name: big
    kind: api
    concurrency: 20
    answers: {accuracy: 0.95, loading: 0.6}
    service: {kind: lognormal, p50_s: 0.12, p99_s: 0.4}
    usd_per_request: 0.004
"""
_ = Path("against-live.yaml").write_text(SCENARIO)

# %% [markdown]
# On the command line this is `fallwise check against-live.yaml --requests 400`. The 400 requests take about seven seconds. Each tier is
# looked at alone first, so that what the way there and back takes is known.


# %%
def check(*options):
    command = [sys.executable, "-c", "from fallwise.cli import main; main()", "check"]
    command += ["against-live.yaml", "--requests", "400", "--drives", "1", "--profile", "20"]
    done = subprocess.run([*command, "--json", *options], capture_output=True, text=True)
    return json.loads(done.stdout)


def table(found):
    rows = pd.DataFrame(found["rows"])
    for name in ("predicted", "measured"):
        rows[name] = [row["value"] for row in rows[name]]
    return rows.set_index("measure")[["predicted", "measured", "tolerance", "agree"]]


found = check()
table(found).round(5)

# %% [markdown]
# The verdict, and what stands behind it. On a machine that is busy with other things there is no verdict, and it says so: nobody can
# tell then whether a wait is the deployment's or the machine's.

# %%
print(found["verdict"], *found["doubts"], *found["findings"], sep="\n")

# %% [markdown]
# Would it notice? Here somebody has turned up the threshold in the deployment, and the scenario does not know.

# %%
planted = check("--plant", "tiers.small.threshold=0.95")
rows = table(planted)
wrong = rows[~rows.agree.astype(bool)]
wrong.round(5)

# %% [markdown]
# **Answer:**

# %%
right = int(table(found).agree.sum())
print(
    f"{right} of {len(found['rows'])} measures came out as predicted: cost, quality, who answered, "
    f"how long each tier and each path took.\n"
    f"With another threshold in the gateway, {len(wrong)} of {len(rows)} did not, "
    f"{wrong.index[0]} first. So a prediction that is wrong can be caught."
)

# %%
import shutil

Path("against-live.yaml").unlink()
shutil.rmtree("results", ignore_errors=True)
