# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A vLLM server as a text generator with live weights: ids in, ids out.

It is asked what `vllm_engine.py` asks in process, the ids and the resized pictures of our own
encoder, on the route that vLLM opens with `enable_scale_out`. So vLLM may live in an environment,
and in processes, of its own, and what it samples is what the trainer learns from.

Source: vllm/entrypoints/scale_out/token_in_token_out/ (vLLM 0.32.0).
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from concurrent import futures
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.data import messages
from lingshu_jax.engines import (
    jax_requests,
    openai_images,
    protocol,
    vllm_prompts,
    vllm_server,
)
from lingshu_jax.models import sizes

ROUTE = "/inference/v1/generate"
ANSWER_SECONDS = 7200.0  # of one request; a server that has died is noticed at once
_MOST_AT_ONCE = 256  # threads that wait for an answer each


class VllmTokens:
    """Generates with a vLLM server of this machine; it ends with `close`."""

    def __init__(
        self,
        server: vllm_server.Server,
        encoder: messages.Encoder,
        size: sizes.ModelSize,
        *,
        max_images: int,
        max_model_len: int,
        at_once: int,
    ):
        """Asks nothing yet.

        Args:
          server: Started with `has_live_weights` and the option `enable_scale_out`.
          encoder: Tokenizer and image sizes, within those that the server was started with.
          size: The model's sizes.
          max_images: Requests with more are refused.
          max_model_len: Tokens of prompt and answer together, as of the server.
          at_once: Requests that are asked at the same time, to keep the server busy.
        """
        self.encoder, self._server = encoder, server
        self._desk = jax_requests.Desk(
            encoder,
            size=dataclasses.replace(size.text, max_positions=max_model_len),
            max_images=max_images,
            is_exact=False,
        )
        self._at_once = max(1, min(at_once, _MOST_AT_ONCE))

    def set_params(self, params: Any) -> None:
        """As `vllm_server.Server.set_params`.

        Args:
          params: Nested dict of the same shapes.
        """
        self._server.set_params(params)

    def sleep(self) -> None:
        """As `vllm_server.Server.sleep`."""
        self._server.sleep()

    def wake(self) -> None:
        """As `vllm_server.Server.wake`."""
        self._server.wake()

    def close(self) -> None:
        """Ends the server."""
        self._server.close()

    def generate(
        self,
        requests: Sequence[protocol.Request],
        *,
        on_result: protocol.OnCompletions | None = None,
    ) -> list[list[protocol.Completion]]:
        """As `protocol.Generator.generate`."""
        results: jax_requests.Results[protocol.Completion] = jax_requests.Results(
            len(requests), on_result
        )
        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(futures.ThreadPoolExecutor(self._at_once))
            on_failure = stack.enter_context(contextlib.ExitStack())
            on_failure.callback(self._give_up, pool)
            places = {
                pool.submit(self._answer, request): place for place, request in enumerate(requests)
            }
            for future in futures.as_completed(places):
                try:
                    answers = future.result()
                except errors.UserError as error:
                    results.fail(places[future], error)
                else:
                    results.put(places[future], answers)
            on_failure.pop_all()
        return results.lists

    def _give_up(self, pool: futures.Executor) -> None:
        """Nobody wants the other answers any more."""
        pool.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(errors.UserError):  # it has ended: why is being told
            self._server.abort()

    def _answer(self, request: protocol.Request) -> list[protocol.Completion]:
        with jax_requests.errors_of(request.id):
            sampling = vllm_prompts.sampling(request.sampling, self.encoder)
            encoded = self._desk.encode(request.messages, request.id)
            self._desk.check_context(encoded.num_tokens, request.sampling.max_new_tokens)
            prompt = vllm_prompts.prompt(encoded, self.encoder)
            pictures = prompt.get("multi_modal_data", {}).get("image", [])
            answer = self._server.ask(
                ROUTE,
                {
                    "model": self._server.model,
                    "token_ids": prompt["prompt_token_ids"],
                    "content_parts": [
                        {"type": "image_url", "url": openai_images.encode(picture)}
                        for picture in pictures
                    ],
                    "sampling_params": sampling,
                    "return_token_ids": True,
                },
                timeout=ANSWER_SECONDS,
            )
            if answer["prompt_token_ids"] != encoded.tokens.tolist():
                raise errors.UserError(vllm_prompts.OTHER_PROMPT)
            choices = sorted(answer["choices"], key=lambda choice: choice["index"])
            if len(choices) != request.sampling.n:
                raise errors.UserError(f"vLLM gave {len(choices)} of {request.sampling.n} answers")
            return [self._completion(choice, request.sampling.stop) for choice in choices]

    def _completion(self, choice: dict[str, Any], stop: Sequence[str]) -> protocol.Completion:
        logprobs = [entry["logprob"] for entry in choice["logprobs"]["content"]]
        return vllm_prompts.completion(
            choice["token_ids"],
            logprobs,
            choice["finish_reason"],
            encoder=self.encoder,
            stop=stop,
        )
