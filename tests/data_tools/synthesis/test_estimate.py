# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from data_tools import rows as rows_lib
from data_tools.synthesis import desk, estimate
from lingshu_jax.engines import ledger, openai_options, openai_requests
from tests.data_tools.synthesis import stand_in, test_desk

SERVER = openai_options.Options()
AUTHOR = desk.Author(model="m")


def measure(seeds, count=1):
    return estimate.estimate(test_desk.Twice(), seeds, count=count, author=AUTHOR, server=SERVER)


def test_the_questions_are_those_of_a_real_run(tmp_path):
    seeds = [test_desk.seed(name, media=(test_desk.picture(),)) for name in "abcd"]
    found = measure(seeds, 400)
    engine = stand_in.Engine(test_desk.well)
    desk.write(
        test_desk.Twice(),
        seeds,
        tmp_path,
        author=AUTHOR,
        make_engine=lambda: engine,
    )
    assert (found.seeds, found.sampled) == (400, 4)
    assert found.calls == 100 * len(engine.asked)
    assert found.lost == 0


def test_a_picture_counts_as_it_is_read():
    plain = measure([test_desk.seed("a")])
    seen = test_desk.seed("a", media=(test_desk.picture(),))
    shown = measure([seen])
    assert shown.tokens_in == plain.tokens_in + 1  # 8 x 8 pixels are one token
    assert shown.most_in > plain.most_in + SERVER.image_tokens - 1


def test_budgets_never_see_more_than_the_most(tmp_path):
    found = measure([test_desk.seed("a lung")])
    engine = stand_in.Engine(test_desk.well)
    desk.write(
        test_desk.Twice(),
        [test_desk.seed("a lung")],
        tmp_path,
        author=AUTHOR,
        make_engine=lambda: engine,
    )
    worst = [
        openai_requests.prepare(request, model="m", options=SERVER).worst(1)
        for request in engine.asked
    ]
    assert found.most_in == sum(one.tokens_in for one in worst)
    assert found.most_out == sum(one.tokens_out for one in worst)
    assert found.tokens_in < found.most_in and found.tokens_out < found.most_out


def test_prices_are_those_of_a_million_tokens():
    one = estimate.Estimate(seeds=1, tokens_in=1e6, tokens_out=2e6, most_in=3e6, most_out=4e6)
    terms = ledger.Terms(price_in=1.0, price_out=10.0)
    assert one.cost(terms) == pytest.approx(21)
    assert one.most_cost(terms) == pytest.approx(43)


def test_a_broken_picture_is_asked_about_by_nobody():
    broken = rows_lib.Medium(kind="image", data=b"no picture")
    seed = test_desk.seed("a", media=(broken,))
    found = measure([seed])
    assert found.calls == 0 and found.lost == 1
