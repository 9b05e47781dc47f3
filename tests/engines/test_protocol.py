# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses

from lingshu_jax.engines import protocol

PLAIN = protocol.SamplingParams(max_new_tokens=9, stop=("a",), seed=3)


def test_what_files_recorded_before_there_were_schemas_is_recorded_still() -> None:
    assert PLAIN.settings() == {
        "max_new_tokens": 9,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "repetition_penalty": 1.0,
        "stop": ("a",),
        "ignore_eos": False,
        "seed": 3,
        "n": 1,
    }


def test_a_schema_is_recorded() -> None:
    guided = dataclasses.replace(PLAIN, json_schema="{}")
    assert guided.settings() == {**PLAIN.settings(), "json_schema": "{}"}
