# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""RadCliQ against the published leaderboard and its own limits."""

import csv
import json
from pathlib import Path

import pytest

from lingshu_jax.eval.report_metrics import radcliq

PERFECT = radcliq.Features(1.0, 1.0, 1.0, 1.0)
# The largest difference that the rounding of the published features to three decimals explains.
TOLERANCES = {"v0": 0.0025, "v1": 0.0016}


def leaderboard_rows(shared_dir: Path) -> list[dict[str, str]]:
    files = sorted((shared_dir / "evaldata" / "rexrank").glob("rex_*.csv"))
    return [row for file in files for row in csv.DictReader(file.read_text().splitlines())]


def differences(rows: list[dict[str, str]], version: str) -> list[float]:
    names = ("RadGraph", "BertScore", "SembScore", "BLEU")
    features = [radcliq.Features(*(float(row[name]) for name in names)) for row in rows]
    return [
        abs(radcliq.score(version, each) - float(row[f"RadCliQ-{version}"]))
        for each, row in zip(features, rows, strict=True)
    ]


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_all_rows_of_the_leaderboard(shared_dir: Path, version: str) -> None:
    rows = leaderboard_rows(shared_dir)
    assert len(rows) == 50
    assert max(differences(rows, version)) < TOLERANCES[version]


@pytest.mark.parametrize(("version", "other"), [("v0", "v1"), ("v1", "v0")])
def test_leaderboard_notices_the_other_version(
    shared_dir: Path, monkeypatch: pytest.MonkeyPatch, version: str, other: str
) -> None:
    monkeypatch.setitem(radcliq.VERSIONS, version, radcliq.VERSIONS[other])
    found = differences(leaderboard_rows(shared_dir), version)
    assert min(found) > TOLERANCES[version]


def test_parameters_in_full_precision(shared_dir: Path) -> None:
    file = shared_dir / "evaldata" / "rexrank" / "radcliq_params.json"
    published = json.loads(file.read_text())
    for name, fit in radcliq.VERSIONS.items():
        theirs = published[name]
        assert list(fit.mean) == theirs["scaler_mean"]
        assert list(fit.scale) == theirs["scaler_scale"]
    v0, v1 = radcliq.VERSIONS["v0"], radcliq.VERSIONS["v1"]
    assert [*v1.coefficients, v1.intercept] == published["v1"]["coefs_plus_bias"]
    assert [*v0.coefficients] == published["v0"]["coefs"]
    assert v0.intercept == published["v0"]["intercept"]


@pytest.mark.parametrize(
    ("version", "features", "expected"),
    [
        ("v1", PERFECT, -1.4406902828047017),
        ("v0", PERFECT, -0.24213342294409346),
        ("v1", radcliq.EMPTY, 2.4501430833271307),
        ("v0", radcliq.EMPTY, 5.516160804054495),
        # BERTScore with idf weights of one reference: the raw F is 0, far below the baseline.
        ("v1", radcliq.Features(1.0, -0.8473319 / (1 - 0.8473319), 1.0, 1.0), 9.372605544718308),
    ],
)
def test_limits(version: str, features: radcliq.Features, expected: float) -> None:
    assert radcliq.score(version, features) == pytest.approx(expected, abs=1e-12)


def test_inverse_only_above_0() -> None:
    good = radcliq.corpus("v1", [PERFECT, PERFECT])
    assert good.raw < 0 and good.inverse is None and good.reason is not None
    bad = radcliq.corpus("v1", [radcliq.EMPTY, radcliq.EMPTY])
    assert bad.inverse == pytest.approx(1 / 2.4501430833271307) and bad.reason is None


def test_corpus_is_that_of_the_means_not_the_mean_of_the_inverses() -> None:
    rows = [radcliq.EMPTY, radcliq.Features(0.3, 0.4, 0.5, 0.2)]
    means = radcliq.Features(0.15, 0.2, 0.25, 0.1)
    found = radcliq.corpus("v0", rows)
    assert found.raw == pytest.approx(radcliq.score("v0", means), abs=1e-12)
    assert found.inverse is not None
    inverses = [1 / radcliq.score("v0", row) for row in rows]
    assert found.inverse != pytest.approx(sum(inverses) / 2, abs=1e-3)


def test_corpus_notices_a_feature_that_is_no_number() -> None:
    with pytest.raises(ArithmeticError, match="not that of the means"):
        radcliq.corpus("v1", [radcliq.Features(float("nan"), 0.0, 0.0, 0.0)])


def test_no_reports() -> None:
    with pytest.raises(ValueError, match="no reports"):
        radcliq.corpus("v1", [])
