# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A function of the user's own, and everything that can be wrong with one."""

import pathlib

import pytest

from lingshu_jax.common import errors
from lingshu_jax.rl import config_reward, rewards

QUESTION = rewards.Question(text="Is there a mass?", gold="yes", answer_type="yes_no")
RIGHT = "<think>dense</think> <answer>yes</answer>"


def make(folder: pathlib.Path, text: str, name: str = "pay") -> rewards.RewardFn:
    path = folder / "mine.py"
    path.write_text(text)
    return rewards.make(config_reward.RewardConfig(function=f"{path}:{name}"))


def earn(reward_fn: rewards.RewardFn, completion: str = RIGHT) -> rewards.Reward:
    return reward_fn(completion, QUESTION, finish_reason="stop")


def body(expression: str) -> str:
    lines = ("import math", "from lingshu_jax.rl import rewards")
    return "\n".join([*lines, f"def pay(completion, question, finish_reason): {expression}"])


def test_a_number_is_the_total_and_the_default_terms_stand_beside_it(tmp_path):
    reward = earn(make(tmp_path, body("return len(question.gold) / 4")))
    assert reward.total == 0.75
    assert reward.terms == {"format": 1.0, "accuracy": 1.0, "function": 0.75}
    assert (reward.status, reward.parsed) == ("ok", "yes")


def test_a_dict_is_terms_and_their_sum(tmp_path):
    source = body("return {'short': 0.25, 'accuracy': finish_reason == 'stop'}")
    reward = earn(make(tmp_path, source), "yes")
    assert reward.total == 1.25
    assert reward.terms == {"format": 0.0, "accuracy": 1.0, "short": 0.25}
    assert reward.status == rewards.MALFORMED


def test_a_reward_is_everything(tmp_path):
    source = body("return rewards.Reward(2.0, {'x': 1.0}, 'mine', 'read')")
    reward = earn(make(tmp_path, source))
    assert reward == (2.0, {"format": 1.0, "accuracy": 1.0, "x": 1.0}, "mine", "read")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("return None", "must return a finite number, a dict of such or a Reward, got None"),
        ("return 'x'", "got 'x'"),
        ("return math.nan", "got nan"),
        ("return {'a': math.inf}", "got inf"),
        ("return {}", "returned no terms"),
        ("return rewards.Reward(math.nan, {}, 'ok', None)", "got nan"),
        ("return {}['gold']", "raised KeyError: 'gold'"),
        ("return 1 / 0", "raised ZeroDivisionError: division by zero"),
        ("raise ValueError('two\\nlines')", "raised ValueError: two lines"),
    ],
)
def test_what_it_may_not_return(tmp_path, expression, said):
    reward_fn = make(tmp_path, body(expression))
    with pytest.raises(errors.UserError) as raised:
        earn(reward_fn)
    assert said in str(raised.value)
    assert "mine.py:pay" in str(raised.value)


def test_terms_that_change_are_refused(tmp_path):
    reward_fn = make(tmp_path, body("return {completion: 1.0}"))
    earn(reward_fn, "a")
    earn(reward_fn, "a")
    with pytest.raises(errors.UserError, match=r"the terms \['b'\], before \['a'\]"):
        earn(reward_fn, "b")


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("def pay(:\n", "pay", "cannot be run: SyntaxError"),
        ("import no_such_module\n", "pay", "cannot be run: ModuleNotFoundError"),
        ("x = missing\n", "pay", "cannot be run: NameError"),
        ("def other(): ...\n", "pay", "has no function 'pay'; it has other"),
        ("pay = 3\n", "pay", "has no function 'pay'; it has none"),
        ("", "pay-me", "must be path.py:name"),
    ],
)
def test_a_file_that_holds_none(tmp_path, text, name, said):
    with pytest.raises(errors.UserError) as raised:
        make(tmp_path, text, name)
    assert said in str(raised.value)
    assert "config.rl.reward.function" in str(raised.value)


@pytest.mark.parametrize("given", ["pay", "mine.py", "mine.txt:pay", "x:y:z", "none.py:pay"])
def test_a_place_that_is_none(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.UserError, match="config.rl.reward.function"):
        rewards.make(config_reward.RewardConfig(function=given))


def test_a_file_may_define_classes(tmp_path):
    source = (
        "import dataclasses\n"
        "@dataclasses.dataclass\nclass Pay:\n    share: float = 0.5\n"
        "    def __call__(self, completion, question, finish_reason):\n        return self.share\n"
        "pay = Pay()\n"
    )
    assert earn(make(tmp_path, source)).total == 0.5
