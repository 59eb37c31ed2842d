"""The scenario that the tests of commands ask about: a small pool before a big model."""

ASKED = """\
name: asked
traffic: {arrivals: {kind: poisson, rate_rps: 2}}
answers: {source: synthetic}
tiers:
  - name: small
    kind: pool
    replicas: 2
    replica_usd_per_hour: 0.5
    threshold: 0.8
    timeout_s: 2
    service: {kind: exponential, mean_s: 0.2}
    answers: {accuracy: 0.8, auroc: 0.75, loading: 0.6}
  - name: big
    kind: api
    service: {kind: exponential, mean_s: 0.5}
    answers: {accuracy: 0.9, loading: 0.6}
    usd_per_request: 0.01
targets:
  - {measure: sojourn_s_p95, at_most: 2.5}
money: {upkeep_usd_per_month: 1000}
run: {requests: 4000}
"""
