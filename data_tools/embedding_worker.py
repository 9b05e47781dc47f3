# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Embeds pictures and texts with open_clip, in an interpreter that has it; reads a local folder.

    python -P embedding_worker.py FOLDER THREADS

It is a file by itself: that interpreter needs nothing of this package. A message is a line of JSON,
perhaps with bytes behind it. The first one says what the model is:
`{"size", "interpolation", "scale", "versions"}`. To `{"images": [N, H, W]}` with
pixels of 8 bits behind it, or `{"texts": [...]}`, the answer is `{"shape": [N, D]}` and vectors of
length 1, float32. `{"error": line}` is the last message. It ends where its input does.
"""

import importlib
import json
import math
import os
import pathlib
import sys
import tempfile
from typing import IO, Any

# Before the libraries are imported: nothing is fetched, and no pickle is loaded, whatever they ask.
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"

CONFIG = "open_clip_config.json"
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
_TOWER = "config.json"  # of the text tower


def main() -> None:
    """Answers until its input ends."""
    folder, threads = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    # What libraries print must not get between the messages.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # What a broken folder raises differs with the libraries' versions; whatever it is, it is told.
    sys.excepthook = lambda kind, error, trace: send(answers, {"error": in_a_line(error)})
    model = Model(folder, threads)
    send(answers, model.describe())
    serve(model, sys.stdin.buffer, answers)


def in_a_line(error: BaseException) -> str:
    """What an error says, or its kind.

    Args:
      error: Any.
    """
    said = " ".join(str(error).split()) or type(error).__name__
    return f"{said:.400}"


def serve(model: "Model", questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answers messages.

    Args:
      model: That embeds.
      questions: Where they come from.
      answers: Where the answers go.
    """
    while line := questions.readline():
        message = json.loads(line)
        if "texts" in message:
            vectors = model.texts(message["texts"])
        else:
            count, height, width = message["images"]
            pixels = questions.read(count * height * width * 3)
            vectors = model.images(pixels, (count, height, width, 3))
        send(answers, {"shape": list(vectors.shape)}, vectors.tobytes())


def send(stream: IO[bytes], message: dict[str, Any], data: bytes = b"") -> None:
    """Writes a message.

    Args:
      stream: Where to.
      message: Its line.
      data: What follows it.
    """
    stream.write(json.dumps(message).encode() + b"\n" + data)
    stream.flush()


class Model:
    """A model of open_clip on the device that is there."""

    def __init__(self, folder: pathlib.Path, threads: int):
        """Loads it.

        Args:
          folder: In the layout of the hub.
          threads: Of the CPU.
        """
        self._torch: Any = importlib.import_module("torch")
        self._open_clip: Any = importlib.import_module("open_clip")
        self._torch.set_num_threads(threads)
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        with tempfile.TemporaryDirectory() as place:
            name = f"local-dir:{_prepare(folder, pathlib.Path(place))}"
            self._model = self._open_clip.create_model(
                name, device=self._device, require_pretrained=True, weights_only=True
            )
            self._tokenizer = self._open_clip.get_tokenizer(name)
        self._model.eval()
        self._look = self._model.visual.preprocess_cfg

    def describe(self) -> dict[str, Any]:
        """The first message.

        Raises:
          ValueError: If its pictures are prepared in a way that is not known here.
        """
        look = self._look
        size = look["size"]
        height, width = (size, size) if isinstance(size, int) else size
        if height != width or look.get("resize_mode", "shortest") != "shortest":
            raise ValueError(f"pictures of {size}, resized by {look.get('resize_mode')}: unknown")
        packages = ("torch", "open_clip", "timm", "transformers")
        versions = {name: importlib.import_module(name).__version__ for name in packages}
        return {
            "size": height,
            "interpolation": look.get("interpolation", "bicubic"),
            "scale": math.exp(float(self._model.logit_scale)),
            "versions": {**versions, "device": self._device},
        }

    def images(self, pixels: bytes, shape: tuple[int, ...]) -> Any:
        """The vectors of pictures that have the right size.

        Args:
          pixels: Of 8 bits.
          shape: (N, H, W, 3).
        """
        torch = self._torch
        values = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(shape)
        values = values.permute(0, 3, 1, 2).to(self._device).float() / 255
        mean, std = (
            torch.tensor(self._look[name], device=self._device) for name in ("mean", "std")
        )
        values = (values - mean[:, None, None]) / std[:, None, None]
        with torch.inference_mode():
            return self._model.encode_image(values, normalize=True).float().cpu().numpy()

    def texts(self, texts: list[str]) -> Any:
        """The vectors of texts.

        Args:
          texts: Any number of them.
        """
        tokens = self._tokenizer(texts).to(self._device)
        with self._torch.inference_mode():
            return self._model.encode_text(tokens, normalize=True).float().cpu().numpy()


def _prepare(folder: pathlib.Path, place: pathlib.Path) -> pathlib.Path:
    """A folder with the same files whose config names no repository of the hub."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    weights = next((name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise ValueError(f"{folder} holds none of {', '.join(WEIGHTS)}")
    others = [path for path in folder.iterdir() if path.suffix in (".json", ".txt", ".model")]
    for path in [folder / weights, *others]:
        if path.name != CONFIG:
            (place / path.name).symlink_to(path.resolve())
    tower = config["model_cfg"]["text_cfg"]
    if tower.get("hf_model_name"):
        tower |= {"hf_model_name": str(place), "hf_tokenizer_name": str(place)}
        if not (place / _TOWER).exists():
            # BiomedCLIP's folder has none: its text tower is BERT base. Others do not fit this
            # one's shapes, and loading says so.
            importlib.import_module("transformers").BertConfig().save_pretrained(place)
    (place / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return place


if __name__ == "__main__":
    main()
