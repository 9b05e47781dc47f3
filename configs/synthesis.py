# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Synthesis of what the paper made with other models (arXiv 2506.07044, 2.2).

    python -m data_tools.synthesize --config=configs/synthesis.py:FOLDER --output=FOLDER/synthetic \
        --model=NAME --engine=openai --base_url=http://localhost:8000/v1

FOLDER is the one that `configs/curation.py` takes: rows in `<name>.jsonl` or in a folder `<name>`
as its publisher lays it out. Labelled pictures lie in folders named after their set
(`data_tools/synthesis/label_presets.py`). What is not there is left out; `--dry_run` says what
would be asked. The paper's teachers are GPT-4o (captions, questions, reasons), Gemini 2.0 Flash
Thinking (OCR) and LLaMA-3.1-70B (dialogues); a run has one model, so `--config.ocr.sources=` and
the like leave recipes to another run.

The paper made 100K long captions, 504K questions, 50K OCR questions, 500K reasons about pictures
and 146K about texts; `most` of a section draws so many seeds.
"""

from pathlib import Path

from configs import curation
from data_tools import config as curation_config
from data_tools.synthesis import (
    config,
    dialogues,
    label_presets,
    long_captions,
    ocr,
    reasoning,
    self_instruct,
    template_vqa,
)
from lingshu_jax.common import errors

# 2.1.4: answered again by a model, without diagnosis or prescription.
DIALOGUES = ("healthcaremagic", "icliniq")
# Questions with options, for pages of an examination. The paper's were of biology and chemistry.
EXAMS = ("medqa", "exam_questions")
# Answers that are long texts lead nowhere in particular.
NOT_REASONED = ("medquad", "mts_dialog", "chexpert_labeler_sample", "bccd")


def get_config(arg: str = "data") -> config.SynthesisConfig:
    """All recipes on what a folder has.

    Args:
      arg: The folder.

    Raises:
      UserError: If there is no such folder.
    """
    folder = Path(arg)
    if not folder.is_dir():
        raise errors.UserError(f"--config=configs/synthesis.py:FOLDER: no folder {folder}")
    labelled = [
        label_presets.get(key, path=key) for key in label_presets.PRESETS if (folder / key).is_dir()
    ]
    pictures = tuple(source.name for source in labelled)
    rows = [
        *(source for source in curation.get_config(arg).sources if source.name not in pictures),
        *(_dialogues(name) for name in DIALOGUES if (folder / name).is_dir()),
        *(_exam(name) for name in EXAMS[1:] if (folder / f"{name}.jsonl").is_file()),
    ]
    names = {kind: tuple(s.name for s in rows if s.kind == kind) for kind in curation_config.KINDS}
    there = {source.name for source in rows}
    answered = (*names["instructions"], *names["text"])
    return config.SynthesisConfig(
        sources=rows,
        labelled=labelled,
        root=arg,
        long_captions=long_captions.Config(sources=pictures),
        template_vqa=template_vqa.Config(sources=pictures),
        self_instruct=self_instruct.Config(sources=names["captions"]),
        reasoning=reasoning.Config(
            sources=tuple(n for n in answered if n not in (*NOT_REASONED, *DIALOGUES))
        ),
        ocr=ocr.Config(sources=tuple(name for name in EXAMS if name in there)),
        dialogues=dialogues.Config(sources=tuple(name for name in DIALOGUES if name in there)),
    )


def _dialogues(name: str) -> curation_config.CuratedSource:
    return curation_config.CuratedSource(name=name, publisher=name, path=name)


def _exam(name: str) -> curation_config.CuratedSource:
    """Rows of format `messages` with `options` and `answer`."""
    return curation_config.CuratedSource(name=name, path=f"{name}.jsonl", kind="text")
