"""Services as ServeGen describes them, as parts of a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fallwise.cli.app import app
from fallwise.draw import draw
from fallwise.draw.services import service
from fallwise.errors import TableError
from fallwise.scenario import parse
from fallwise.scenario.source import load
from typer.testing import CliRunner

TRACES = Path(__file__).parents[1].parent / "shared/data/traces"
CLIENTS = "client,mean_rate_rps,rate_weighted_cv\n0,1,1.5\n1,6,2.5\n2,2,3\n3,1,1\n"
PROFILE = "window_start_s,rate_rps\n0,1\n600,2\n1200,3\n"
CHUNKS = {
    # Client 7 is idle in its second window, client 12 was seen in two windows of three.
    "chunk-7-trace.csv": "0,4.0,2.0,Gamma,0.2,1.2\n600,,,,,\n1200,2.0,5.0,Weibull,0.5,0.1\n",
    "chunk-12-trace.csv": "0,1.0,1.0,Gamma,1.0,1.0\n600,2.0,1.0,Gamma,1.0,0.5\n",
}


def written(folder: Path, text: str) -> Path:
    (folder / "s.csv").write_text(text)
    return folder / "s.csv"


def world(arrivals: Any) -> Any:
    tier = {"name": "a", "kind": "api", "service": {"kind": "fixed", "value_s": 1.0}}
    return parse(
        {
            "name": "w",
            "traffic": {"arrivals": arrivals},
            "answers": {"source": "synthetic"},
            "tiers": [{**tier, "answers": {"accuracy": 1.0}}],
        }
    )


def test_the_busiest_clients_keep_their_bursts(tmp_path: Path) -> None:
    found = service(written(tmp_path, CLIENTS), 5.0, 2)
    assert found["clients"] == [{"rate_rps": 3.0, "cv": 2.5}, {"rate_rps": 1.0, "cv": 3.0}]
    assert found["background_rps"] == 1.0
    assert world(found).traffic.arrivals.rate_rps == 5.0
    assert service(tmp_path / "s.csv", None, 9)["background_rps"] == 0


def test_a_profile_keeps_its_shape(tmp_path: Path) -> None:
    found = service(written(tmp_path, PROFILE), 4.0, 10)
    assert found == {"kind": "profile", "step_s": 600.0, "rates_rps": [2.0, 4.0, 6.0]}
    assert service(tmp_path / "s.csv", None, 10)["rates_rps"] == [1.0, 2.0, 3.0]


def test_the_folder_of_a_model_is_one_client_a_file(tmp_path: Path) -> None:
    for name, text in CHUNKS.items():
        (tmp_path / name).write_text(text)
    found = service(tmp_path, None, 10)
    # 4 + 0 + 2 over three windows, cv (4 * 2 + 2 * 5) / 6; 1 + 2 over three.
    assert found["clients"] == [{"rate_rps": 2.0, "cv": 3.0}, {"rate_rps": 1.0, "cv": 1.0}]


def test_what_the_command_prints_is_a_part_of_a_scenario(tmp_path: Path) -> None:
    for text in (CLIENTS, PROFILE):
        path = written(tmp_path, text)
        result = CliRunner().invoke(app, ["import", str(path), "--rate", "5"])
        assert result.exit_code == 0, result.output
        (tmp_path / "part.yaml").write_text(result.stdout)
        printed = load(tmp_path / "part.yaml").data["arrivals"]
        assert printed == service(path, 5.0, 10)
        assert world(printed).traffic.arrivals.rate_rps == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CLIENTS.replace("6,2.5", "-6,2.5"), r"mean_rate_rps.row 1: -6.0: must be above 0"),
        (CLIENTS.replace("2,2,3", "2,2,"), "rate_weighted_cv.row 2: nan: must be above 0"),
        (PROFILE.replace("600,", "700,"), "equal steps"),
        (PROFILE.replace("0,1\n", "0,-1\n", 1), "rate_rps.row 0: must be numbers"),
        ("arrival_s\n1\n2\n", "kind: trace"),
    ],
)
def test_what_is_no_service_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=words):
        service(written(tmp_path, text), None, 10)


def test_a_folder_without_clients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="has no chunk"):
        service(tmp_path, None, 10)
    (tmp_path / "chunk-1-trace.csv").write_text("0,fast,1\n")
    with pytest.raises(TableError, match="row 0: '0,fast,1': must be start, rate, cv"):
        service(tmp_path, None, 10)


@pytest.mark.skipif(not TRACES.exists(), reason="needs ../shared/data/traces")
def test_the_large_model_of_servegen_at_another_rate() -> None:
    clients = service(TRACES / "servegen_mlarge_clients.csv.gz", 20.0, 10)
    assert world(clients).traffic.arrivals.rate_rps == pytest.approx(20.0, rel=1e-4)
    top = sum(client["rate_rps"] for client in clients["clients"]) / 20
    assert 0.6 < top < 0.95  # its ten busiest clients are most of the traffic
    profile = service(TRACES / "servegen_mlarge_profile.csv.gz", 20.0, 10)
    rates = np.array(profile["rates_rps"])
    assert rates.max() / rates.mean() == pytest.approx(2.98, abs=0.01)  # of its README
    table = draw(world(clients), 1, 50_000)
    assert 50_000 / (table.arrival_ns[-1] / 1e9) == pytest.approx(20, rel=0.1)
