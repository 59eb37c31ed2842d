"""The draw as a whole: the same rows in any blocks; and the numbers that a scenario asked for.

Intervals are 4.5 standard errors wide on each side: one false alarm in 150,000, and fixed seeds.
"""

import subprocess
import sys
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fallwise.draw import blocks, draw, latent, stream
from fallwise.draw.latent import auroc
from fallwise.draw.streams import FEW
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario, parse
from fallwise.tables import NEVER_NS, RequestTable
from scipy import stats
from scipy.optimize import brentq

SCENARIOS = Path(__file__).parents[1] / "scenarios"
Z = 4.5
POISSON = {"kind": "poisson", "rate_rps": 5.0}
SECOND = {"kind": "fixed", "value_s": 1.0}
LOGNORMAL = {"kind": "lognormal", "p50_s": 0.2, "p99_s": 0.9}
ATOMS = [0.2, 0.5, 0.5, 0.5, 0.8, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0]
LENGTHS = {"kind": "lognormal", "p50_tokens": 100.0, "p99_tokens": 900.0}


def tier(name: str, accuracy: float = 0.8, service: Any = None, **more: Any) -> dict[str, Any]:
    answers = {"accuracy": accuracy, **more.pop("answers", {})}
    return {"name": name, "kind": "api", "service": service or SECOND, "answers": answers, **more}


def world(*tiers: Any, segments: Any = None, arrivals: Any = None, **more: Any) -> Scenario:
    traffic = {"arrivals": arrivals or POISSON, "segments": segments or [{}]}
    answers = more.pop("answers", {"source": "synthetic"})
    folder = more.pop("folder", Path())
    data = {"name": "w", "traffic": traffic, "answers": answers, "tiers": list(tiers), **more}
    return parse(data, folder)


def everything(arrivals: Any = None, folder: Path = Path(), recorded: bool = False) -> Scenario:
    """Return a scenario in which every optional column is drawn."""
    repeats = {"repeat_share": 0.4, "distinct_keys": 20, "zipf_exponent": 0.9}
    common: dict[str, Any] = {"prompt_tokens": LENGTHS, "output_tokens": LENGTHS}
    segments = [
        {"name": "a", "share": 0.6, **common, **({} if recorded else {"repeats": repeats})},
        {"name": "b", "share": 0.4, "difficulty": 0.7, "residency": "local", **common},
    ]
    tokens = {"kind": "tokens", "ttft": LOGNORMAL, "tpot_s": 0.01}
    parts = [
        {"weight": 0.9, "law": {"kind": "gamma", "mean_s": 1.0, "cv": 0.4}},
        {"weight": 0.1, "law": {"kind": "empirical", "values_s": [5.0, 9.0]}},
    ]
    cache = {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0.002}
    verifier = {"catch_rate": 0.6, "false_alarm_rate": 0.1, "service": tokens}
    hard = {"loading": 0.7, "auroc": 0.8}
    return world(
        {**cache, "filled_by": ["big"], "false_hit_rate": 0.05, "local": True},
        tier("small", 0.7, tokens, answers=hard, threshold=0.6, verifier=verifier),
        tier("twin", 0.6, answers={**hard, "score_quantiles": ATOMS}, agree_with="small"),
        tier(
            "big",
            0.9,
            {"kind": "mixture", "parts": parts},
            answers={"loading": 0.8, "auroc": 0.75, "score_loading": 0.5},
            patience={"kind": "exponential", "mean_s": 3.0},
            output_token_factor=1.5,
        ),
        segments=segments,
        arrivals=arrivals,
        folder=folder,
        router={
            "auroc": 0.7,
            "about": "small",
            "cuts": [0.5],
            "starts": ["big", "small"],
            "service": {"kind": "exponential", "mean_s": 0.01},
        },
    )


ARRIVALS: Any = {
    "poisson": POISSON,
    "gamma": {"kind": "gamma", "rate_rps": 3.0, "cv": 2.0},
    "profile": {"kind": "profile", "step_s": 7.0, "rates_rps": [0.0, 9.0, 1.0]},
    "trace": {"kind": "trace", "file": "t.parquet", "dither_s": 0.5},
}


@pytest.mark.parametrize(("block", "arrivals"), [*product([1, 7, 1000], ARRIVALS)])
def test_blocks_have_the_rows_of_the_whole(block: int, arrivals: str, tmp_path: Path) -> None:
    n = 150 if block == 1 else 2500
    trace = {"arrival_s": np.sort(stream(1, "t").random(60)), "key": np.arange(60) % 25}
    pq.write_table(pa.table(trace), tmp_path / "t.parquet")
    scenario = everything(ARRIVALS[arrivals], tmp_path, recorded=arrivals == "trace")
    whole = draw(scenario, 3, n)
    parts = list(blocks(scenario, 3, n, block))
    assert [len(part) for part in parts[:-1]] == [block] * ((n - 1) // block)
    assert RequestTable.concat(parts).difference(whole) is None
    assert len(whole.columns()) == 16  # all but call_usd
    # A longer run begins with the same rows.
    assert draw(scenario, 3, n + 50).take(slice(n)).difference(whole) is None


def test_many_rows_are_drawn_on_several_cores_as_few_are_on_one() -> None:
    case, n = everything(), FEW + 10
    parts = list(blocks(case, 3, n, FEW // 4))
    assert RequestTable.concat(parts).difference(draw(case, 3, n)) is None


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    scenario = everything()
    for name in ("a", "b"):
        draw(scenario, 5, 100).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not draw(scenario, 6, 100).equals(draw(scenario, 5, 100))
    scenario = world(tier("a"), run={"requests": 50, "seed": 9})
    table = draw(scenario)
    assert len(table) == 50 and table.provenance.seed == 9 and table.equals(draw(scenario, 9, 50))
    assert table.provenance.scenario_hash == scenario.hash


def test_streams_are_independent_and_found_by_name() -> None:
    a, b, c = (stream(*at).random(10_000) for at in ((1, "x"), (1, "y"), (2, "x")))
    assert (stream(1, "x").random(10_000) == a).all()
    for one, other in ((a, b), (a, c)):
        assert abs(np.corrcoef(one, other)[0, 1]) < Z / sqrt(10_000)


def test_a_new_tier_moves_no_old_column() -> None:
    scenario = everything()
    data = scenario.model_dump(exclude_unset=True)
    more = tier("more", 0.8, LOGNORMAL, answers={"loading": 0.5, "auroc": 0.7})
    wider = parse({**data, "tiers": [*data["tiers"][:3], more, data["tiers"][3]]})
    old, new = draw(scenario, 1, 500).columns(), draw(wider, 1, 500).columns()
    for name, values in old.items():
        kept = new[name][:, [0, 1, 2, 4]] if values.ndim == 2 else new[name]
        same = kept == values
        if name == "answer":  # a wrong answer that is compared with none is its tier's number
            same = same[:, :3]
        assert same.all(), name


def test_times_and_tokens_follow_their_laws() -> None:
    n = 100_000
    table = draw(everything(), 1, n)
    assert (table.service_ns[:, 0] == 2_000_000).all()
    assert table.verifier_ns is not None and table.patience_ns is not None
    assert table.router_ns is not None
    slow = table.service_ns[:, 3] >= 5 * 10**9
    share = 0.1 + 0.9 * stats.gamma(0.4**-2, scale=0.4**2).sf(5)
    assert abs(slow.mean() - share) < Z * sqrt(share * (1 - share) / n)
    waits = (table.service_ns[:, 1] - table.output_tokens[:, 1].astype(np.int64) * 10**7) / 1e9
    body = np.log(waits)
    sigma = np.log(0.9 / 0.2) / stats.norm.ppf(0.99)
    assert stats.kstest(body, stats.norm(np.log(0.2), sigma).cdf).pvalue > 1e-5
    assert stats.kstest(table.router_ns / 1e7, stats.expon.cdf).pvalue > 1e-5
    assert stats.kstest(table.patience_ns[:, 3] / 3e9, stats.expon.cdf).pvalue > 1e-5
    assert (table.patience_ns[:, :3] == NEVER_NS).all()
    assert (table.output_tokens[:, 3] == np.rint(table.output_tokens[:, 1] * 1.5)).all()
    fresh = table.key >= 20  # the tokens of repeated questions are no independent sample
    for tokens in (table.prompt_tokens[fresh], table.output_tokens[fresh, 1]):
        for p, value in ((0.5, 100), (0.99, 900)):
            assert abs((tokens <= value).mean() - p) < Z * sqrt(p * (1 - p) / fresh.sum()) + 0.004
    assert abs(table.false_hit.mean() - 0.05) < Z * sqrt(0.05 * 0.95 / n)
    assert (table.local == (table.segment == 1)).all()
    assert abs(table.segment.mean() - 0.4) < Z * sqrt(0.24 / n)


def test_equal_keys_are_the_same_question() -> None:
    table = draw(everything(), 1, 20_000)
    shared = table.key < 20
    assert len(np.unique(table.key[~shared])) == (~shared).sum()
    assert table.key[~shared].min() >= 20
    assert (table.segment[shared] == 0).all()
    same = ["segment", "prompt_tokens", "output_tokens", "score", "answer", "correct", "passes"]
    for name in (*same, "router_score"):
        values = getattr(table, name)
        for key in range(20):
            rows = values[table.key == key]
            assert (rows == rows[0]).all(), (name, key)
    # Times are noise, and drawn anew; other questions have other numbers.
    assert len(np.unique(table.service_ns[table.key == 0, 3])) > 100
    firsts = [int(np.argmax(table.key == key)) for key in range(20)]
    assert len(np.unique(table.score[firsts, 1])) == 20


def test_repeated_keys_follow_zipf() -> None:
    n, distinct, exponent, share = 200_000, 50, 1.2, 0.3
    repeats = {"repeat_share": share, "distinct_keys": distinct, "zipf_exponent": exponent}
    table = draw(world(tier("a"), segments=[{"repeats": repeats}]), 1, n)
    weights = np.arange(1, distinct + 1) ** -exponent
    expected = n * share * weights / weights.sum()
    counts = np.bincount(table.key[table.key < distinct], minlength=distinct)
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-5
    assert abs(counts.sum() / n - share) < Z * sqrt(share * (1 - share) / n)


def test_numbers_of_repeated_questions_have_the_same_distribution() -> None:
    repeats = {"repeat_share": 1.0, "distinct_keys": 20_000, "zipf_exponent": 0.0}
    twin = {"loading": 0.6, "auroc": 0.8}
    scenario = world(tier("a", 0.7, answers=twin), segments=[{"repeats": repeats}])
    table = draw(scenario, 1, 100_000)
    _, first = np.unique(table.key, return_index=True)
    right, score = table.correct[first, 0], table.score[first, 0]
    assert abs(right.mean() - 0.7) < Z * sqrt(0.21 / len(first))
    whole = draw(world(tier("a", 0.7, answers=twin)), 2, 50_000)
    assert stats.ks_2samp(score, whole.score[:, 0]).pvalue > 1e-5


def area(score: Any, right: Any) -> tuple[float, float]:
    """Return the AUROC of a sample, ties counted half, and an upper bound of its standard error.

    Source: Birnbaum and Klose (1957): the variance is at most A (1 - A) / min(n1, n0).
    """
    n1, n0 = int(right.sum()), int((~right).sum())
    ranks = stats.rankdata(score)[right].sum()
    a = (ranks - n1 * (n1 + 1) / 2) / (n1 * n0)
    return a, sqrt(a * (1 - a) / min(n1, n0))


@pytest.mark.parametrize(
    ("accuracy", "loading", "wanted", "quantiles", "score_loading"),
    [
        (0.7, 0.0, 0.8, None, None),
        (0.74, 0.8, 0.86, None, None),
        (0.83, 0.7, 0.72, ATOMS, None),
        (0.35, 0.3, 0.65, [0.0, 0.0, 0.0, 1.0, 1.0], None),
        (0.9, 0.6, 0.7, None, 0.6),
        (0.6, 0.5, 0.5, None, None),
    ],
)
def test_synthetic_answers_have_the_accuracy_auroc_and_marginal(
    accuracy: float, loading: float, wanted: float, quantiles: Any, score_loading: Any
) -> None:
    n = 200_000
    answers = {"loading": loading, "auroc": wanted, "score_quantiles": quantiles}
    scenario = world(tier("a", accuracy, answers={**answers, "score_loading": score_loading}))
    table = draw(scenario, 1, n)
    right, score = table.correct[:, 0] == 1, table.score[:, 0]
    assert abs(right.mean() - accuracy) < Z * sqrt(accuracy * (1 - accuracy) / n)
    a, error = area(score, right)
    assert abs(a - wanted) < Z * max(error, 1e-9)
    if quantiles:
        steps = len(quantiles) - 1
        for value in set(quantiles):
            p = (quantiles.count(value) - 1) / steps
            assert abs((score == value).mean() - p) <= Z * sqrt(p * (1 - p) / n), value
    else:  # the score is the probability of being right
        for low, high in ((0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1)):
            at = (score >= low) & (score < high)
            if at.sum() > 1000:
                assert abs(score[at].mean() - right[at].mean()) < Z * 0.5 / sqrt(at.sum())


def test_the_auroc_of_the_gaussian_model_holds_a_closed_form() -> None:
    """At accuracy 1/2 the score is P(S1 > S0) of half-normals: 1/2 + 2 atan(r') / pi at r' below.

    Of two independent pairs, given M1 > 0 > M0: S1 - S0 > 0 together with M1 > 0 and -M0 > 0 is an
    orthant of a trivariate normal with correlations 0, rho / sqrt(2), rho / sqrt(2); its
    probability is 1/8 + (sum of the arcsines) / (4 pi) (Sheppard 1898), and is divided by 1/4.
    """
    for rho in (0.0, 0.3, 0.7, 0.99):
        exact = 4 * (1 / 8 + 2 * np.arcsin(rho / sqrt(2)) / (4 * np.pi))
        assert abs(auroc(rho, 0.5) - exact) < 1e-5


def test_tiers_fail_together_as_their_loadings_say() -> None:
    n = 200_000
    small, big = tier("s", 0.7, answers={"loading": 0.8}), tier("b", 0.85, answers={"loading": 0.6})
    right = draw(world(small, big), 1, n).correct.astype(bool)
    a = stats.norm.ppf([0.7, 0.85])
    both = stats.multivariate_normal([0, 0], [[1, 0.48], [0.48, 1]]).cdf(a)
    assert abs((right[:, 0] & right[:, 1]).mean() - both) < Z * sqrt(both * (1 - both) / n)
    assert both > 0.7 * 0.85 + 0.02


def test_harder_segments_have_fewer_right_answers() -> None:
    n, loading = 100_000, 0.7
    segments = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "difficulty": 1.0}]
    answers = {"loading": loading, "auroc": 0.8}
    table = draw(world(tier("a", 0.8, answers=answers), segments=segments), 1, n)
    for g, shift in enumerate((0, 1)):
        at = table.segment == g
        p = stats.norm.cdf(stats.norm.ppf(0.8) - loading * shift)
        assert abs(table.correct[at, 0].mean() - p) < Z * sqrt(p * (1 - p) / at.sum())
    means = [table.score[table.segment == g, 0].mean() for g in (0, 1)]
    assert means[1] < means[0] - 0.05


def test_calibration_moves_the_score_and_not_the_ranking() -> None:
    answers = {"loading": 0.5, "auroc": 0.8}
    plain = draw(world(tier("a", 0.7, answers=answers)), 1, 2000)
    p = plain.score[:, 0]
    moved = {"temperature": 0.5, "bias": 1.0}
    table = draw(world(tier("a", 0.7, answers={**answers, "calibration": moved})), 1, 2000)
    logit = np.log(p / (1 - p)) / 0.5 + 1
    np.testing.assert_allclose(table.score[:, 0], 1 / (1 + np.exp(-logit)), rtol=1e-9)
    assert (table.correct == plain.correct).all()
    points = {"table": [[0.0, 0.5], [1.0, 1.0]]}
    read = draw(world(tier("a", 0.7, answers={**answers, "calibration": points})), 1, 2000)
    np.testing.assert_allclose(read.score[:, 0], 0.5 + p / 2)


def test_an_accuracy_of_one_is_always_right_and_sure() -> None:
    table = draw(world(tier("a", 1.0, answers={"loading": 0.5, "auroc": 0.8})), 1, 1000)
    assert (table.correct == 1).all() and (table.score == 1).all() and (table.answer == 0).all()


def test_wrong_answers_are_uniform_and_agree_by_chance() -> None:
    n = 50_000
    one, two = tier("s", 0.5, answers={"wrong_choices": 4}), tier("b", 0.5, agree_with="s")
    two["answers"]["wrong_choices"] = 4
    table = draw(world(one, two), 1, n)
    wrong = (table.correct == 0).all(axis=1)
    assert ((table.answer == 0) == (table.correct == 1)).all()
    agree = (table.answer[:, 0] == table.answer[:, 1])[wrong]
    assert abs(agree.mean() - 0.25) < Z * sqrt(0.1875 / wrong.sum())
    assert stats.chisquare(np.bincount(table.answer[table.correct[:, 0] == 0, 0])[1:]).pvalue > 1e-5


def test_verifier_and_router_have_their_rates() -> None:
    n = 100_000
    verifier = {"catch_rate": 0.6, "false_alarm_rate": 0.1}
    segments = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "difficulty": 1.0}]
    table = draw(
        world(
            tier("s", 0.7, answers={"loading": 0.6}, verifier=verifier),
            tier("b"),
            segments=segments,
            router={"auroc": 0.75, "about": "s", "cuts": [0.5], "starts": ["b", "s"]},
        ),
        1,
        n,
    )
    right = table.correct[:, 0] == 1
    for at, rate in ((right, 0.9), (~right, 0.4)):
        share = table.passes[at, 0].mean()
        assert abs(share - rate) < Z * sqrt(rate * (1 - rate) / at.sum())
    assert table.passes[:, 1].all() and table.router_score is not None
    a, error = area(table.router_score, right)
    assert abs(a - 0.75) < Z * error
    assert stats.kstest(table.router_score, stats.uniform.cdf).pvalue > 1e-5


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            {"auroc": 0.95, "score_quantiles": [0.5, 1.0, 1.0, 1.0, 1.0]},
            "auroc: 0.95: no score",
        ),
        ({"auroc": 0.95, "score_loading": 0.9}, "score_loading: 0.9: no score has this loading"),
    ],
)
def test_answers_that_no_model_has_are_refused(answers: Any, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        draw(world(tier("a", 0.7, answers=answers)), 1, 10)


def test_what_cannot_be_drawn_is_refused() -> None:
    tokens = {"kind": "tokens", "ttft": SECOND, "tpot_s": 0.1}
    router = {"auroc": 0.7, "about": "a", "cuts": [0.5], "starts": ["a", "b"], "service": tokens}
    repeats = {"repeat_share": 0.1, "distinct_keys": 10**9}
    long = {"output_tokens": LENGTHS}
    # 2e9 tokens, a thousand times as many sent: what they take of the limit is 3800 years.
    wide = {"prompt_tokens": {"kind": "fixed", "tokens": 2_000_000_000}}
    endless: Any = {"tokens_per_minute": 1000, "prompt": {"token_factor": 1000}}
    wild = {"kind": "lognormal", "p50_s": 1e-6, "p99_s": 1e9}
    for scenario, words in (
        (world(tier("a"), tier("b"), router=router), "a router writes no tokens"),
        (world(tier("a", patience=tokens)), "patience is of the person"),
        (world(tier("a"), segments=[{"repeats": repeats}]), "must be at most 10000000"),
        (world(tier("a", service=wild)), "longer than 36 years"),
        (world(tier("a", output_token_factor=1e9), segments=[long]), "above two billion"),
        (world(tier("a", kind="api", **endless), segments=[wide]), "tokens_per_minute: .*36 years"),
    ):
        with pytest.raises(ScenarioError, match=words):
            draw(scenario, 1, 10_000)
    with pytest.raises(ScenarioError, match="at least 1"):
        draw(world(tier("a")), 1, 0)


@pytest.mark.parametrize("quantiles", [(), (0.0, 0.5, 0.9, 0.9, 1.0, 1.0, 1.0)])
def test_the_correlation_gives_the_auroc_as_scipys_root_does(quantiles: tuple[float, ...]) -> None:
    for accuracy, wanted in product((0.05, 0.6, 0.9, 0.99), (0.501, 0.6, 0.75, 0.9)):
        rho, best = latent._rho(accuracy, wanted, quantiles)
        if best < wanted:
            assert rho == np.inf
            continue
        root = brentq(
            lambda r, a=accuracy, w=wanted: latent.auroc(r, a, quantiles) - w, 0.0, latent.HIGHEST
        )
        assert rho == pytest.approx(root, abs=5e-12)


def test_a_worker_does_not_load_what_it_does_not_need() -> None:
    code = (
        "import sys; from fallwise.scenario import read; from fallwise.draw import draw;"
        f"draw(read({str(SCENARIOS / 'mmlu-4o-mini.yaml')!r}), n=10);"
        "sys.exit('scipy.optimize' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
