# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""vLLM as a text generator, in this process, with live weights.

Prompts are the ids and the pictures that our own engine takes, so what vLLM is asked and what the
model was trained on cannot differ. The same code serves CPUs, CUDA and TPUs; it is tested on CPUs.
"""

import collections
import contextlib
import dataclasses
import importlib
import itertools
import os
import pathlib
import types
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from absl import logging

from lingshu_jax.common import errors
from lingshu_jax.data import messages
from lingshu_jax.engines import (
    jax_requests,
    protocol,
    stops,
    vllm_names,
    vllm_prompts,
    vllm_weights,
)
from lingshu_jax.models import hf, sizes

NO_OPTIONS: Mapping[str, Any] = types.MappingProxyType({})
# Further arguments of an engine whose weights change.
LIVE_WEIGHTS: Mapping[str, Any] = types.MappingProxyType(
    {
        "weight_transfer_config": {"backend": vllm_names.BACKEND},
        "worker_extension_cls": vllm_names.EXTENSION,
    }
)


class _Job(NamedTuple):
    """What vLLM is asked in one piece.

    Attributes:
      place: Of the request among all.
      part: Of the continuation, where one is scored.
      id: Of the request.
      encoded: Its prompt.
      continuation: Ids after the prompt that are scored.
      fields: Of `vllm.SamplingParams`.
    """

    place: int
    part: int
    id: str
    encoded: messages.Encoded
    continuation: tuple[int, ...]
    fields: dict[str, Any]


class VllmEngine:
    """Generates with vLLM.

    Attributes:
      encoder: Tokenizer and image sizes.
      last_sync: What the last transfer of weights took; None before the first.
      skipped_sleeps: Calls of `sleep` that did nothing, for the platform cannot.
    """

    def __init__(
        self,
        llm: Any,
        encoder: messages.Encoder,
        size: sizes.ModelSize,
        *,
        dtype: jnp.dtype,
        max_images: int = protocol.MAX_IMAGES,
    ):
        """Takes a `vllm.LLM`; see `from_folder`.

        Args:
          llm: Made with the arguments of `engine_arguments`.
          encoder: Of the same folder.
          size: The model's sizes.
          dtype: In which it computes.
          max_images: Requests with more are refused.
        """
        self.encoder, self.last_sync, self.skipped_sleeps = encoder, None, 0
        self._used = protocol.Used()
        self._llm: Any = llm
        self._size, self._dtype = size, dtype
        config = llm.llm_engine.vllm_config
        self._desk = jax_requests.Desk(
            encoder,
            size=dataclasses.replace(size.text, max_positions=config.model_config.max_model_len),
            max_images=max_images,
            is_exact=False,
        )
        self._at_once = 2 * config.scheduler_config.max_num_seqs
        self._can_sleep = bool(config.model_config.enable_sleep_mode)
        self._numbers = itertools.count()

    @classmethod
    def from_folder(
        cls,
        folder: pathlib.Path,
        *,
        dtype: str = "",
        blank_images: bool = False,
        encoder: messages.Encoder | None = None,
        size: sizes.ModelSize | None = None,
        max_images: int = protocol.MAX_IMAGES,
        max_model_len: int | None = None,
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> "VllmEngine":
        """Loads a Hugging Face folder.

        Args:
          folder: With weights, tokenizer and processor files; without weights where `size` and
            `dtype` are given and the options have the load format `vllm_names.LATER`.
          dtype: To compute in, as float32; "" is what the weights are stored in.
          blank_images: Greys out every image, sizes and tokens unchanged.
          encoder: Of other image sizes than the folder's, with `image_sizes` among the
            options; `blank_images` is not read then.
          size: The model's; None reads it from the folder.
          max_images: Requests with more are refused.
          max_model_len: Tokens of prompt and answer together; None is the model's own context, for
            which the memory has to suffice.
          options: Further arguments of `vllm.LLM`, as `tensor_parallel_size`.

        Raises:
          UserError: If vLLM is not installed, the folder is none or incomplete, or vLLM refuses an
            argument.
        """
        if not folder.is_dir():
            raise errors.UserError(f"no folder {folder}: a Hugging Face folder is needed")
        vllm, platform = _load(""), _load(".platforms").current_platform
        size = size or hf.read_config(folder)
        encoder = encoder or messages.Encoder.from_folder(folder, blank_images=blank_images)
        computed = jnp.dtype(dtype or stored_dtype(folder, size))
        arguments = {
            **engine_arguments(dtype=str(computed), max_images=max_images),
            # vllm-tpu has workers of its own, which know nothing of either.
            **({} if platform.is_tpu() else LIVE_WEIGHTS),
            "max_model_len": max_model_len,
            "enable_sleep_mode": platform.is_sleep_mode_available(),
            **options,
        }
        with _in_process(), _refusals():
            llm = vllm.LLM(str(folder), **arguments)
        return cls(llm, encoder, size, dtype=computed, max_images=max_images)

    @property
    def size(self) -> sizes.ModelSize:
        """The model's sizes."""
        return self._size

    def set_params(self, params: Any) -> None:
        """The next request is answered with these parameters; what was computed is forgotten.

        Args:
          params: Nested dict of the same shapes, on devices of this host; adapters are merged.

        Raises:
          UserError: If they do not fit the model, an answer is being streamed, or the platform is
            a TPU.
        """
        engine = self._idle_engine()
        if engine.vllm_config.weight_transfer_config is None:
            raise errors.UserError("this vLLM engine takes no weights: it was made without them")
        receiver = _Receiver(self._llm, self.close)
        self.last_sync = vllm_weights.send(params, self._size, receiver, dtype=self._dtype)
        engine.reset_prefix_cache()
        engine.reset_mm_cache()
        engine.reset_encoder_cache()

    def sleep(self) -> None:
        """Moves the weights to the host and lets the cache go, until `wake`.

        Where the platform cannot (CPU, TPU) nothing happens, and `skipped_sleeps` counts it.
        """
        if self._can_sleep:
            self._engine().sleep(level=1)
            return
        self.skipped_sleeps += 1
        logging.info("vLLM cannot sleep on this platform: nothing done, %d", self.skipped_sleeps)

    def wake(self) -> None:
        """Ends `sleep`."""
        if self._can_sleep:
            self._engine().wake_up()

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
        jobs = _collect(requests, lambda i, request: [self._job(i, request)], results)
        with contextlib.closing(self._run(jobs, results)) as finished:
            for job, output in finished:
                stop = requests[job.place].sampling.stop
                try:
                    with jax_requests.errors_of(job.id):
                        answers = [self._completion(answer, stop) for answer in output.outputs]
                except errors.UserError as error:
                    results.fail(job.place, error)
                else:
                    self._used = self._used.plus(job.encoded.num_tokens, answers)
                    results.put(job.place, answers)
        return results.lists

    def used(self) -> protocol.Used:
        """As of `protocol.Metered`, of what `generate` has answered."""
        return self._used

    def score(
        self,
        requests: Sequence[protocol.ScoreRequest],
        *,
        on_result: protocol.OnScores | None = None,
    ) -> list[list[protocol.Score]]:
        """As `protocol.Engine.score`; vLLM reads the conversation again for each continuation."""
        results: jax_requests.Results[protocol.Score] = jax_requests.Results(
            len(requests), on_result
        )
        jobs = _collect(requests, self._score_jobs, results)
        found: dict[int, dict[int, protocol.Score]] = collections.defaultdict(dict)
        with contextlib.closing(self._run(jobs, results)) as finished:
            for job, output in finished:
                found[job.place][job.part] = _score(job, output)
                wanted = len(requests[job.place].continuations)
                if len(found[job.place]) == wanted:
                    scores = found.pop(job.place)
                    results.put(job.place, [scores[part] for part in range(wanted)])
        return results.lists

    def stream(self, request: protocol.Request) -> Iterator[protocol.Delta]:
        """As `protocol.Engine.stream`."""
        request.check_streamable()
        return self._deltas(self._job(0, request), request.sampling.stop)

    def close(self) -> None:
        """Ends vLLM and lets its memory go; one more engine can be made afterwards."""
        if self._llm is None:
            return
        self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        _load(".distributed").cleanup_dist_env_and_memory()

    def _engine(self) -> Any:
        if self._llm is None:
            raise errors.UserError("the vLLM engine is closed")
        return self._llm.llm_engine

    def _idle_engine(self) -> Any:
        engine = self._engine()
        if engine.has_unfinished_requests():
            raise errors.UserError("the vLLM engine is busy: an answer is being streamed")
        return engine

    def _job(self, place: int, request: protocol.Request) -> _Job:
        with jax_requests.errors_of(request.id):
            fields = vllm_prompts.sampling(request.sampling, self.encoder)
            encoded = self._desk.encode(request.messages, request.id)
            self._desk.check_context(encoded.num_tokens, request.sampling.max_new_tokens)
        return _Job(place, 0, request.id, encoded, (), fields)

    def _score_jobs(self, place: int, request: protocol.ScoreRequest) -> list[_Job]:
        with jax_requests.errors_of(request.id):
            encoded = self._desk.encode(request.messages, request.id)
            jobs = []
            for part, given in enumerate(request.continuations):
                ids = self._desk.ids(given)
                # vLLM samples one token after all it scores.
                self._desk.check_context(encoded.num_tokens, len(ids) + 1)
                fields = dict(vllm_prompts.SCORING)
                jobs.append(_Job(place, part, request.id, encoded, tuple(ids), fields))
        return jobs

    def _run(
        self, jobs: Sequence[_Job], results: jax_requests.Results[Any]
    ) -> Generator[tuple[_Job, Any], None, None]:
        """The finished ones as they come; no more are waiting in vLLM than keep it busy."""
        engine = self._idle_engine()
        waiting, running = collections.deque(jobs), dict[str, _Job]()
        failed: set[int] = set()
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: engine.abort_request(list(running)))
            while waiting or running:
                while waiting and len(running) < self._at_once:
                    job = waiting.popleft()
                    if job.place not in failed:
                        self._try(job, running, failed, results)
                finished = [output for output in engine.step() if output.finished]
                yield from ((running.pop(output.request_id), output) for output in finished)

    def _try(
        self,
        job: _Job,
        running: dict[str, _Job],
        failed: set[int],
        results: jax_requests.Results[Any],
    ) -> None:
        """Adds a job to the running ones, or its request to those that failed."""
        try:
            running[self._add(job)] = job
        except errors.UserError as error:
            failed.add(job.place)
            results.fail(job.place, error)

    def _add(self, job: _Job, *, kind: str = "FINAL_ONLY") -> str:
        """Gives vLLM a job; its name there.

        Args:
          job: The job.
          kind: Of `vllm.sampling_params.RequestOutputKind`; the others split several samples.
        """
        engine, name = self._engine(), str(next(self._numbers))
        words = _load(".sampling_params")
        fields = {**job.fields, "output_kind": words.RequestOutputKind[kind]}
        if guided := fields.get("structured_outputs"):
            fields["structured_outputs"] = words.StructuredOutputsParams(**guided)
        with jax_requests.errors_of(job.id), _refusals():
            prompt = vllm_prompts.prompt(job.encoded, self.encoder, job.continuation)
            (rendered,) = self._llm.renderer.render_cmpl([prompt])
            wanted = [*job.encoded.tokens.tolist(), *job.continuation]
            if list(rendered["prompt_token_ids"]) != wanted:
                raise errors.UserError(vllm_prompts.OTHER_PROMPT)
            engine.add_request(name, rendered, _load("").SamplingParams(**fields))
        return name

    def _completion(self, answer: Any, stop: Sequence[str]) -> protocol.Completion:
        return vllm_prompts.completion(
            answer.token_ids,
            _logprobs(answer),
            answer.finish_reason,
            encoder=self.encoder,
            stop=stop,
        )

    def _deltas(self, job: _Job, stop: Sequence[str]) -> Iterator[protocol.Delta]:
        engine, reader = self._idle_engine(), stops.Reader(self.encoder.decode, stop)
        name = self._add(job, kind="DELTA")
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: engine.abort_request([name]))
            while engine.has_unfinished_requests():
                for output in engine.step():
                    (answer,) = output.outputs
                    text = "".join(map(reader.push, answer.token_ids))
                    yield protocol.Delta(
                        text=text + reader.finish() if output.finished else text,
                        tokens=tuple(answer.token_ids),
                        logprobs=_logprobs(answer),
                        finish_reason=vllm_prompts.finish_reason(answer.finish_reason)
                        if output.finished
                        else None,
                    )


class _Receiver:
    """Weight updates of a `vllm.LLM` of this process."""

    def __init__(self, llm: Any, close: Callable[[], None]):
        self.start_weight_update, self.finish_weight_update = (
            llm.start_weight_update,
            llm.finish_weight_update,
        )
        self._llm, self.close = llm, close

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self._llm.update_weights({"update_info": update_info})


def engine_arguments(*, dtype: str, max_images: int) -> dict[str, Any]:
    """What vLLM is always told, in process and as a server; nothing comes from a checkpoint.

    Args:
      dtype: To compute in.
      max_images: Of a request.
    """
    return {
        "dtype": dtype,
        "limit_mm_per_prompt": {"image": max_images, "video": 0},
        "generation_config": "vllm",
        "logprobs_mode": "raw_logprobs",
    }


def image_sizes(smallest: int, largest: int) -> dict[str, Any]:
    """A further argument of vLLM: its processor leaves images of these sizes as they are.

    Args:
      smallest: Area in pixels.
      largest: The same; memory is set aside for such an image.
    """
    return {"mm_processor_kwargs": {"min_pixels": smallest, "max_pixels": largest}}


def stored_dtype(folder: pathlib.Path, size: sizes.ModelSize) -> str:
    """The dtype that a folder's weights are stored in.

    Args:
      folder: A Hugging Face folder.
      size: Its sizes.

    Raises:
      UserError: If it is incomplete.
    """
    return str(hf.open_leaves(folder, size)["text/embed/embedding"].dtype)


def _collect(
    requests: Sequence[Any],
    make: Callable[[int, Any], Sequence[_Job]],
    results: jax_requests.Results[Any],
) -> list[_Job]:
    """The jobs of all requests that can be served."""
    jobs: list[_Job] = []
    for place, request in enumerate(requests):
        try:
            made = make(place, request)
        except errors.UserError as error:
            results.fail(place, error)
            continue
        jobs += made
        if not made:
            results.put(place, [])  # nothing is asked
    return jobs


def _load(part: str) -> Any:
    """The module `vllm` or a part of it."""
    # Its log would stand among what a command prints, and it would report its use.
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    try:
        return importlib.import_module(f"vllm{part}")
    except ModuleNotFoundError as error:
        if error.name != "vllm":
            raise
        raise errors.UserError("vLLM is not installed: pip install 'lingshu-jax[vllm]'") from error


@contextlib.contextmanager
def _in_process() -> Iterator[None]:
    """vLLM starts no process of its own for the engine meanwhile."""
    name = "VLLM_ENABLE_V1_MULTIPROCESSING"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What vLLM refuses becomes one line."""
    refusal = _load(".exceptions").VLLMError
    try:
        yield
    except errors.UserError:
        raise
    except (TypeError, ValueError, refusal) as error:
        line = " ".join(str(error).split())
        raise errors.UserError(f"vLLM refuses it: {line[:400]}") from error


def _logprobs(answer: Any) -> tuple[float, ...]:
    """Of the sampled tokens."""
    pairs = zip(answer.token_ids, answer.logprobs, strict=True)
    return tuple(float(found[token].logprob) for token, found in pairs)


def _score(job: _Job, output: Any) -> protocol.Score:
    """Of a continuation, which is the end of what vLLM read as a prompt."""
    count = len(job.continuation)
    found = output.prompt_logprobs[len(output.prompt_logprobs) - count :]
    pairs = zip(job.continuation, found, strict=True)
    return protocol.Score(
        tokens=job.continuation,
        logprobs=tuple(float(values[token].logprob) for token, values in pairs),
    )
