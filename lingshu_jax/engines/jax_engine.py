# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our own model as a text generator: static shapes, shared prefill, live weights."""

import dataclasses
import functools
import pathlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lingshu_jax.common import errors, sharding, structs
from lingshu_jax.data import messages, packing, processor, slots
from lingshu_jax.engines import protocol
from lingshu_jax.models import axes, hf, qwen2_5_vl, sizes
from lingshu_jax.models import generate as decoding  # the class has a method of that name

MIN_TOKENS, MIN_PATCHES, MIN_NEW = 128, 64, 16  # smallest compiled shapes


class _Shape(NamedTuple):
    """A compiled program: requests of equal shape are decoded together."""

    tokens: int
    patches: int
    new_tokens: int
    samples: int


@dataclasses.dataclass(frozen=True)
class _Job:
    """A request, encoded, and its place in the answer."""

    place: int
    encoded: messages.Encoded
    sampling: protocol.SamplingParams
    shape: _Shape


class JaxEngine:
    """Generates with a `Qwen2_5_VL`; one prefill and one vision pass serve all n answers.

    Requests are sorted into shapes that are powers of two, so that few programs are
    compiled whatever the prompts.
    """

    def __init__(
        self,
        params: Any,
        model: qwen2_5_vl.Qwen2_5_VL,
        encoder: messages.Encoder,
        *,
        rows: int = 32,
    ):
        """Takes live parameters; where they lie on a mesh, generation runs on all of it.

        Args:
          params: Nested dict of JAX arrays; replace it with `set_params`.
          model: The module they belong to, in the dtype to compute in.
          encoder: Tokenizer and image sizes.
          rows: Answers decoded at a time; on a mesh at least one prompt for each part of a batch.
        """
        self.encoder, self._params, self._model, self._rows = encoder, params, model, rows

    @classmethod
    def from_folder(
        cls, folder: pathlib.Path, *, blank_images: bool = False, rows: int = 32
    ) -> "JaxEngine":
        """Loads a Hugging Face folder, in the dtype its weights are stored in.

        Args:
          folder: With weights, tokenizer and processor files.
          blank_images: Greys out every image, sizes and tokens unchanged.
          rows: Answers decoded at a time.

        Raises:
          UserError: If the folder is none or incomplete.
        """
        if not folder.is_dir():
            raise errors.UserError(f"no folder {folder}: a Hugging Face folder is needed")
        size = hf.read_config(folder)
        limits = processor.read_pixel_limits(folder)
        encoder = messages.Encoder(
            folder,
            min_pixels=limits.smallest,
            max_pixels=limits.largest,
            blank_images=blank_images,
        )
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        shapes = qwen2_5_vl.abstract_params(size, jnp.dtype(jnp.float32))
        # Leaf by leaf onto the device: no second copy of the model in the host's memory.
        params = hf.load_params(folder, size, shardings=jax.tree.map(lambda _: device, shapes))
        dtype = params["text"]["embed"]["embedding"].dtype
        model = qwen2_5_vl.Qwen2_5_VL(size=size, dtype=dtype, param_dtype=dtype)
        return cls(params, model, encoder, rows=rows)

    @property
    def size(self) -> sizes.ModelSize:
        """The model's sizes."""
        return self._model.size

    def set_params(self, params: Any) -> None:
        """The next request is answered with these parameters.

        Args:
          params: Nested dict of the same shapes.
        """
        self._params = params

    def generate(
        self,
        requests: Sequence[protocol.Request],
        on_done: Callable[[int], object] | None = None,
    ) -> list[list[protocol.Completion]]:
        """Answers in the order of the requests.

        Args:
          requests: May differ in everything; equal shapes are decoded together.
          on_done: Called with the number of requests just finished, for a progress bar.

        Raises:
          UserError: If a prompt cannot be encoded or is longer than the model's context.
        """
        by_shape: dict[_Shape, list[_Job]] = defaultdict(list)
        for place, request in enumerate(requests):
            job = self._prepare(place, request)
            by_shape[job.shape].append(job)
        answers: list[list[protocol.Completion]] = [[] for _ in requests]
        mesh = _mesh_of(self._params)
        with jax.set_mesh(mesh):
            # One copy for all batches, let go at the end: training needs the memory again.
            params = lay_out(self._params, dtype=self._model.dtype)
            for shape, jobs in by_shape.items():
                prompts = _num_prompts(self._rows, shape.samples, mesh)
                for start in range(0, len(jobs), prompts):
                    group = jobs[start : start + prompts]
                    completions = self._run(params, shape, group, prompts)
                    for job, several in zip(group, completions, strict=True):
                        answers[job.place] = several
                    if on_done:
                        on_done(len(group))
        return answers

    def _prepare(self, place: int, request: protocol.Request) -> _Job:
        request.sampling.validate()
        try:
            encoded = self.encoder.encode(
                request.messages, train=False, generation_prompt=True, id=request.id
            )
        except errors.UserError as error:
            raise errors.UserError(f"request {request.id!r}: {error}") from error
        new_tokens = request.sampling.max_new_tokens
        limit = self.size.text.max_positions
        if encoded.num_tokens + new_tokens > limit:
            raise errors.UserError(
                f"request {request.id!r} has {encoded.num_tokens} prompt tokens and may add "
                f"{new_tokens}; the model's context is {limit}"
            )
        length = packing.length(encoded, self.encoder.geometry)
        num_slots = slots.slots_needed(length.windows)
        shape = _Shape(
            tokens=_power_of_two(encoded.num_tokens, MIN_TOKENS),
            patches=_power_of_two(num_slots * self.encoder.geometry.slot_patches, MIN_PATCHES),
            new_tokens=_power_of_two(new_tokens, MIN_NEW),
            samples=request.sampling.n,
        )
        return _Job(place, encoded, request.sampling, shape)

    def _run(
        self, params: Any, shape: _Shape, jobs: list[_Job], prompts: int
    ) -> list[list[protocol.Completion]]:
        """Decodes up to `prompts` jobs of one shape; missing ones are empty rows."""
        budget = packing.Budget(shape.tokens, shape.patches)
        pad_id, geometry = self.encoder.special.pad, self.encoder.geometry
        rows = [
            packing.prompt_row(job.encoded, budget, geometry=geometry, pad_id=pad_id)
            for job in jobs
        ]
        empty = packing.assemble([], budget, geometry=geometry, pad_id=pad_id)
        rows += [empty] * (prompts - len(jobs))
        arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        positions = [job.encoded.next_position for job in jobs] + [0] * (prompts - len(jobs))
        mesh = _mesh_of(params)
        out = decoding.generate(
            params,
            _place(structs.Batch.from_arrays(arrays), mesh),
            np.array(positions, np.int32),
            _sampling(jobs, prompts, shape.samples),
            model=self._model,
            samples=shape.samples,
            capacity=shape.new_tokens,
            stop_ids=self.encoder.eos_ids,
            is_split=mesh.devices.flat[0].platform == "cpu",
        )
        out = jax.device_get(out)
        samples = range(shape.samples)
        return [
            [self._completion(out, i * len(samples) + j) for j in samples] for i in range(len(jobs))
        ]

    def _completion(self, out: decoding.Generated, row: int) -> protocol.Completion:
        length = int(out.lengths[row])
        tokens = tuple(int(token) for token in out.tokens[row, :length])
        return protocol.Completion(
            text=self.encoder.decode(tokens),
            tokens=tokens,
            logprobs=tuple(float(value) for value in out.logprobs[row, :length]),
            finish_reason="stop" if out.stopped[row] else "length",
        )


@functools.partial(jax.jit, static_argnames="dtype")
def lay_out(params: Any, *, dtype: jnp.dtype) -> Any:
    """Parameters as generation reads them: in the compute dtype, split over `tensor` alone.

    In their training layout every decoded token would gather all of them.

    Args:
      params: The model's.
      dtype: Of the activations.
    """
    cast = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
    mesh = sharding.active_mesh()
    if mesh is None:
        return cast
    rules = sharding.GENERATE_RULES
    places = sharding.param_shardings(cast, axes.PARAM_AXES, mesh, rules)
    return jax.lax.with_sharding_constraint(cast, places)


def _mesh_of(params: Any) -> jax.sharding.Mesh:
    """The mesh that the parameters lie on, else one of the device that holds them."""
    place = jax.tree.leaves(params)[0].sharding
    if isinstance(place, jax.sharding.NamedSharding):
        assert isinstance(place.mesh, jax.sharding.Mesh)  # of arrays, not of their descriptions
        return place.mesh
    return sharding.make_mesh({}, list(place.device_set))


def _num_prompts(rows: int, samples: int, mesh: jax.sharding.Mesh) -> int:
    """How many are decoded together: their rows, or more so that they divide over the mesh."""
    parts = sharding.batch_parts(mesh)
    return max(1, -(-(rows // samples) // parts)) * parts


def _place(batch: structs.Batch, mesh: jax.sharding.Mesh) -> structs.Batch:
    """Rows over the mesh; every process has all of them."""
    place = sharding.batch_sharding(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_callback(x.shape, place, x.__getitem__), batch
    )


def _sampling(jobs: list[_Job], prompts: int, samples: int) -> decoding.Sampling:
    """A row a sample; rows without a job end at once."""
    rows = prompts * samples
    temperature = np.zeros(rows, np.float32)
    seeds = np.zeros(rows, np.uint32)
    new_tokens = np.zeros(rows, np.int32)
    for i, job in enumerate(jobs):
        place = slice(i * samples, (i + 1) * samples)
        temperature[place] = job.sampling.temperature
        # Distinct streams for the samples of a request, whatever else is in the batch.
        seeds[place] = [_mix(job.sampling.seed, j) for j in range(samples)]
        new_tokens[place] = job.sampling.max_new_tokens
    return decoding.Sampling(temperature=temperature, seeds=seeds, max_new_tokens=new_tokens)


def _mix(seed: int, sample: int) -> int:
    return int(np.random.SeedSequence([seed, sample]).generate_state(1)[0])


def _power_of_two(value: int, smallest: int) -> int:
    return max(smallest, 1 << (max(value, 1) - 1).bit_length())
