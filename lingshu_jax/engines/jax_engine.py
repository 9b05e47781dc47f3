# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our own model as a text generator: static shapes, continuous batching, live weights."""

import pathlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lingshu_jax.common import errors, metrics
from lingshu_jax.data import messages
from lingshu_jax.engines import (
    jax_layout,
    jax_programs,
    jax_requests,
    jax_scoring,
    jax_slots,
    protocol,
)
from lingshu_jax.models import generate as decoding  # the class has a method of that name
from lingshu_jax.models import hf, qwen2_5_vl, sampling, sizes

STREAM_STEPS = 4  # tokens that a reader waits for together
SYNC = "sync"  # beside the parts of `jax_programs`: weights to the layout of generation


class JaxEngine:
    """Generates with a `Qwen2_5_VL`; one prefill and one vision pass serve all n answers.

    Attributes:
      encoder: Tokenizer and image sizes.
      layout_seconds: What the last change from the weights' own layout to that of generation
        took; 0 before the first.
    """

    def __init__(
        self,
        params: Any,
        model: qwen2_5_vl.Qwen2_5_VL,
        encoder: messages.Encoder,
        *,
        rows: int = 32,
        max_images: int = protocol.MAX_IMAGES,
        prompt_tokens: int = 0,
        processors: tuple[sampling.Processor, ...] = (),
    ):
        """Takes live parameters; where they lie on a mesh, generation runs on all of it.

        Args:
          params: Nested dict of JAX arrays; replace it with `set_params`.
          model: The module they belong to, in the dtype to compute in.
          encoder: Tokenizer and image sizes.
          rows: Answers decoded at a time; on a mesh at least one request for each part of a batch.
          max_images: Images and videos of a request.
          prompt_tokens: Of the longest prompt that will come, where it is known: the same programs
            then serve any part of the requests, and give it the same bits.
          processors: Pure functions of logits [B, V] and `sampling.State` to logits [B, V], applied
            in this order before a token is chosen; compiled into the programs.
        """
        self.encoder, self.layout_seconds = encoder, 0.0
        self._params, self._model, self._rows = params, model, rows
        self._max_images, self._prompt_tokens = max_images, prompt_tokens
        self._watch = metrics.Stopwatch(useful=())
        self._policy = decoding.Policy(model, tuple(encoder.eos_ids), tuple(processors))
        self._kept: jax_programs.Programs | None = None
        self._is_keeping = False
        self._used = protocol.Used()

    @classmethod
    def from_folder(
        cls,
        folder: pathlib.Path,
        *,
        blank_images: bool = False,
        mesh: jax.sharding.Mesh | None = None,
        **options: Any,
    ) -> "JaxEngine":
        """Loads a Hugging Face folder, in the dtype its weights are stored in.

        Args:
          folder: With weights, tokenizer and processor files.
          blank_images: Greys out every image, sizes and tokens unchanged.
          mesh: Where to; default the first device.
          **options: Of the engine.

        Raises:
          UserError: If the folder is none or incomplete.
        """
        if not folder.is_dir():
            raise errors.UserError(f"no folder {folder}: a Hugging Face folder is needed")
        size = hf.read_config(folder)
        encoder = messages.Encoder.from_folder(folder, blank_images=blank_images)
        shapes = qwen2_5_vl.abstract_params(size, jnp.dtype(jnp.float32))
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        places = jax.tree.map(lambda _: device, shapes)
        if mesh is not None:
            places = jax_layout.places(shapes, mesh)
        # Leaf by leaf onto the devices: no second copy of the model in the host's memory.
        params = hf.load_params(folder, size, shardings=places)
        dtype = params["text"]["embed"]["embedding"].dtype
        model = qwen2_5_vl.Qwen2_5_VL(size=size, dtype=dtype, param_dtype=dtype)
        engine = cls(params, model, encoder, **options)
        engine._is_keeping = True  # the weights are nobody else's
        return engine

    @property
    def size(self) -> sizes.ModelSize:
        """The model's sizes."""
        return self._model.size

    def set_params(self, params: Any) -> None:
        """The next request is answered with these parameters.

        Args:
          params: Nested dict of the same shapes.
        """
        self._params, self._kept, self._is_keeping = params, None, False

    def take_seconds(self) -> dict[str, float]:
        """Seconds of `generate` since the last call by what they went into.

        Returns:
          `sync` (weights to the layout of generation), `prefill`, `decode` and `host` (all else).
        """
        return self._watch.take()

    def generate(
        self,
        requests: Sequence[protocol.Request],
        *,
        on_result: protocol.OnCompletions | None = None,
    ) -> list[list[protocol.Completion]]:
        """Answers in the order of the requests.

        Args:
          requests: May differ in everything; those with equally many answers are decoded together.
          on_result: As of `protocol.Generator.generate`.

        Raises:
          UserError: Without `on_result`, if a request cannot be served; names it.
        """
        results: jax_requests.Results[protocol.Completion] = jax_requests.Results(
            len(requests), on_result
        )
        by_samples: dict[int, list[jax_requests.Job]] = defaultdict(list)
        desk = self._desk()
        self._watch.restart()
        for place, request in enumerate(requests):
            try:
                job = desk.job(place, request)
                by_samples[request.sampling.n].append(job)
            except errors.UserError as error:
                results.fail(place, error)
        programs = self._programs() if by_samples else None
        for jobs in by_samples.values():
            assert programs is not None
            for held in self._batch(jobs, programs, desk, rows=self._rows).run(
                sorted(jobs, key=_longest_first)
            ):
                if held.error is not None:
                    results.fail(held.job.place, held.error)
                elif held.is_done:
                    done = [answer.completion() for answer in held.answers]
                    self._used = self._used.plus(held.job.encoded.num_tokens, done)
                    results.put(held.job.place, done)
        self._watch.lap(jax_programs.HOST)
        return results.lists

    def used(self) -> protocol.Used:
        """As of `protocol.Metered`, of what `generate` has answered."""
        return self._used

    def stream(self, request: protocol.Request) -> Iterator[protocol.Delta]:
        """One answer as it comes.

        Args:
          request: With one answer.

        Raises:
          UserError: If it cannot be served; names it.
        """
        desk = self._desk()
        job = desk.job(0, request)
        request.check_streamable()
        batch = self._batch([job], self._programs(), desk, rows=1, stream_steps=STREAM_STEPS)
        for held in batch.run([job]):
            if held.error is not None:
                raise held.error
            yield held.answers[0].delta()

    def score(
        self,
        requests: Sequence[protocol.ScoreRequest],
        *,
        on_result: protocol.OnScores | None = None,
    ) -> list[list[protocol.Score]]:
        """Log-probabilities in the order of the requests and of their continuations.

        Args:
          requests: May differ in everything; each is read once for its continuations, more often
            where these are very many.
          on_result: As of `protocol.Generator.generate`.

        Raises:
          UserError: Without `on_result`, if a request cannot be served; names it.
        """
        results: jax_requests.Results[protocol.Score] = jax_requests.Results(
            len(requests), on_result
        )
        desk = self._desk()
        jobs: list[jax_scoring.Job] = []
        for place, request in enumerate(requests):
            try:
                jobs += jax_scoring.prepare(place, request, desk)
            except errors.UserError as error:
                results.fail(place, error)
        if jobs:
            for place, scored in jax_scoring.run(jobs, self._programs(), desk):
                if isinstance(scored, errors.UserError):
                    results.fail(place, scored)
                else:
                    results.put(place, scored)
        return results.lists

    def close(self) -> None:
        """Lets go of the weights."""
        self._params = self._kept = None

    def _programs(self) -> jax_programs.Programs:
        """Everything on the devices, in the layout of generation.

        Of live weights it is a copy that training has no room for: it goes with the call.
        """
        if self._kept is not None:
            return self._kept
        assert self._params is not None
        self._watch.lap(jax_programs.HOST)
        layout, self.layout_seconds = jax_layout.arrange(self._params, dtype=self._model.dtype)
        self._watch.lap(SYNC)
        programs = jax_programs.Programs(layout, self._policy, self._watch)
        if self._is_keeping:
            self._kept, self._params = programs, layout.params  # one copy, in the layout of use
        return programs

    def _desk(self) -> jax_requests.Desk:
        if self._params is None:
            raise errors.UserError("the engine is closed")
        return jax_requests.Desk(
            self.encoder,
            size=self.size.text,
            max_images=self._max_images,
            is_exact=jax_layout.mesh_of(self._params).devices.flat[0].platform == "cpu",
        )

    def _batch(
        self,
        jobs: Sequence[jax_requests.Job],
        programs: jax_programs.Programs,
        desk: jax_requests.Desk,
        *,
        rows: int,
        stream_steps: int = 0,
    ) -> jax_slots.Batch:
        """Slots with room for the longest prompt and the longest answer."""
        samples = jobs[0].sampling.n
        prompt = max(self._prompt_tokens, *(job.size.tokens for job in jobs))
        new = max(job.sampling.max_new_tokens for job in jobs)
        shape = jax_programs.Shape(
            slots=programs.num_slots(rows, samples),
            samples=samples,
            prompt_places=desk.prompt_places(prompt),
            new_places=jax_requests.power_of_two(new, jax_requests.MIN_NEW),
        )
        return jax_slots.Batch(
            programs, shape, desk=desk, encoder=self.encoder, stream_steps=stream_steps
        )


def _longest_first(job: jax_requests.Job) -> tuple[int, int]:
    """Those that are read together stand together, and what decodes together is equally long."""
    return -job.size.tokens, -job.size.patches
