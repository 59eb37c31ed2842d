import pytest
from fallwise.analysis.precise import KNOWN, predict_until
from fallwise.analysis.predict import predict
from fallwise.analysis.summary import summarise
from fallwise.scenario import Scenario, parse


def queue() -> Scenario:
    return parse(
        {
            "name": "queue",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 0.5}},
            "answers": {"source": "synthetic"},
            "tiers": [
                {
                    "name": "one",
                    "kind": "pool",
                    "service": {"kind": "exponential", "mean_s": 1},
                    "answers": {"accuracy": 0.9},
                    "usd_per_request": 1,
                }
            ],
            "run": {"requests": 4_000},
        }
    )


def test_it_goes_on_until_every_number_is_known_as_well_as_asked_for() -> None:
    prediction, met = predict_until(queue(), 0.02)
    summary = summarise(prediction, baselines=False)
    assert met
    for name in KNOWN:
        half = (summary[name]["high"] - summary[name]["low"]) / 2
        assert half <= 0.02 * summary[name]["value"]
    # M/M/1 at 50 %: 95 % of the sojourns are below ln 20 / (1 - 0.5) seconds.
    assert summary["sojourn_s_p95"]["value"] == pytest.approx(5.9915, rel=0.05)


def test_asking_for_more_takes_more_runs_and_the_first_are_the_same() -> None:
    few, _ = predict_until(queue(), 0.1)
    many, _ = predict_until(queue(), 0.02)
    assert len(many.runs) > len(few.runs)
    assert many.outcomes.equals(few.outcomes)
    assert few.outcomes.equals(predict(queue()).outcomes)


def test_it_gives_up_after_the_most_and_says_so() -> None:
    prediction, met = predict_until(queue(), 0.0001, most=12)
    assert not met
    assert len(prediction.runs) == 12
