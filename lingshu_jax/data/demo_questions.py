# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about a view whose answers can be checked, from its header or its pixels.

Every kind of question has golds that occur equally often after `balance`, so an answer that
ignores the image is right as often as chance. Pixel questions are asked only where the
difference is plain, and are answered from the view itself, after its crop and mirror.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lingshu_jax.common import prompts
from lingshu_jax.data import demo_images

DARK, BRIGHT = 0.35, 0.55  # mean gray value, 0 to 1
HALF_MARGIN = 0.06  # difference of the mean gray values of two halves
QUADRANT_MARGIN = 0.04  # of the brightest quadrant to the next one
CENTRE_MARGIN = 0.08
QUADRANTS = ("top left", "top right", "bottom left", "bottom right")


class Question(NamedTuple):
    """One question with its gold.

    Attributes:
      kind: Name of the kind, as "left_right".
      text: The question with its options.
      answer: The gold; a letter for a choice.
      answer_type: yes_no, choice, open or number.
      options: Texts of a choice, in the order of the letters; else empty.
      thought: One short sentence that leads to the answer.
    """

    kind: str
    text: str
    answer: str
    answer_type: str
    options: tuple[str, ...]
    thought: str


class Facts(NamedTuple):
    """What can be asked about a view.

    Attributes:
      modality: Its word, or None.
      plane: Anatomical plane, or None.
      gray: Mean of the colours, 0 to 1.
    """

    modality: str | None
    plane: str | None
    gray: Float[np.ndarray, "H W"]

    @classmethod
    def of(cls, view: demo_images.View) -> "Facts":
        """Reads header and pixels of a view."""
        gray = view.pixels.mean(axis=-1, dtype=np.float64) / 255
        return cls(view.picture.modality, view.picture.header.plane, gray)


def an(noun: str) -> str:
    """The noun with its article: a CT, an MR, an ultrasound, an X-ray, an axial."""
    spelled_vowel = noun.startswith(("MR", "X-ray", "OCT"))
    return f"{'an' if spelled_vowel or noun[0] in 'aeiou' else 'a'} {noun}"


def brightness(gray: Float[np.ndarray, "H W"]) -> str | None:
    """dark or bright, or None in between."""
    mean = gray.mean()
    return "dark" if mean < DARK else "bright" if mean > BRIGHT else None


def brighter_half(gray: Float[np.ndarray, "H W"]) -> str | None:
    """left or right, or None if they differ by less than HALF_MARGIN.

    The middle column of an odd width counts for neither half.
    """
    half = gray.shape[1] // 2
    difference = gray[:, :half].mean() - gray[:, -half:].mean()
    return None if abs(difference) < HALF_MARGIN else "left" if difference > 0 else "right"


def brightest_quadrant(gray: Float[np.ndarray, "H W"]) -> str | None:
    """One of QUADRANTS, or None if the first two are closer than QUADRANT_MARGIN."""
    h, w = gray.shape[0] // 2, gray.shape[1] // 2
    means = [g.mean() for rows in (gray[:h], gray[-h:]) for g in (rows[:, :w], rows[:, -w:])]
    order = np.argsort(means)
    plain = means[order[-1]] - means[order[-2]] >= QUADRANT_MARGIN
    return QUADRANTS[int(order[-1])] if plain else None


def is_centre_brighter(gray: Float[np.ndarray, "H W"]) -> bool | None:
    """Whether the middle half of rows and columns is brighter than the rest, where plain."""
    h, w = gray.shape
    centre = np.zeros(gray.shape, bool)
    centre[h // 4 : h - h // 4, w // 4 : w - w // 4] = True
    difference = gray[centre].mean() - gray[~centre].mean()
    return None if abs(difference) < CENTRE_MARGIN else bool(difference > 0)


class Asker:
    """Asks about views in varied words.

    `modalities` are the words that may be golds: those that occur in both splits.
    """

    def __init__(self, modalities: Sequence[str], rng: np.random.Generator):
        self._modalities = tuple(sorted(modalities))
        self._rng = rng

    def ask(self, facts: Facts, kinds: Iterable[str]) -> Iterator[Question]:
        """The questions that the facts answer, at most one of each kind."""
        for kind in kinds:
            question = KINDS[kind](self, facts)
            if question is not None:
                yield question

    def pick(self, *texts: str) -> str:
        """One of the wordings."""
        return texts[self._rng.integers(len(texts))]

    def modality(self, facts: Facts) -> Question | None:
        """Open question for the modality."""
        if facts.modality not in self._modalities or len(self._modalities) < 2:
            return None
        text = self.pick(
            "What imaging modality is this?",
            "Which modality made this image?",
            "Name the modality.",
        )
        thought = f"It looks like {facts.modality}."
        return Question("modality", text, facts.modality, "open", (), thought)

    def modality_yes_no(self, facts: Facts) -> Question | None:
        """Is it the named modality? The name is the right one every second time."""
        if facts.modality not in self._modalities or len(self._modalities) < 2:
            return None
        others = [m for m in self._modalities if m != facts.modality]
        named = facts.modality if self._rng.random() < 0.5 else self.pick(*others)
        text = self.pick(f"Is this {an(named)} image?", f"Was this image made by {named}?")
        answer = "yes" if named == facts.modality else "no"
        return Question(
            "modality_yes_no", text, answer, "yes_no", (), f"It looks like {facts.modality}."
        )

    def modality_choice(self, facts: Facts) -> Question | None:
        """The modality as a choice; the options stand in alphabetical order."""
        if facts.modality not in self._modalities or len(self._modalities) < 2:
            return None
        text = self.pick("Which modality is shown?", "How was this image made?")
        thought = f"It looks like {facts.modality}."
        options = self._modalities
        return _choice("modality_choice", text, facts.modality, options=options, thought=thought)

    def plane(self, facts: Facts) -> Question | None:
        """Open question for the anatomical plane."""
        if facts.plane is None:
            return None
        text = self.pick("Which anatomical plane is this?", "In which plane was the slice taken?")
        return Question("plane", text, facts.plane, "open", (), f"The slice looks {facts.plane}.")

    def brightness(self, facts: Facts) -> Question | None:
        """Dark or bright on the whole."""
        answer = brightness(facts.gray)
        if answer is None:
            return None
        text = self.pick("Is the image mostly dark or bright?", "Dark or bright on the whole?")
        return Question("brightness", text, answer, "open", (), f"Most of it is {answer}.")

    def left_right(self, facts: Facts) -> Question | None:
        """The brighter one of the left and right half."""
        answer = brighter_half(facts.gray)
        if answer is None:
            return None
        text = self.pick("Which half is brighter, left or right?", "Is left or right brighter?")
        return Question("left_right", text, answer, "open", (), f"More light is on the {answer}.")

    def top_bottom(self, facts: Facts) -> Question | None:
        """The brighter one of the upper and lower half."""
        side = brighter_half(facts.gray.T)
        if side is None:
            return None
        answer = "top" if side == "left" else "bottom"
        text = self.pick("Which half is brighter, top or bottom?", "Is top or bottom brighter?")
        return Question("top_bottom", text, answer, "open", (), f"More light is at the {answer}.")

    def quadrant(self, facts: Facts) -> Question | None:
        """The brightest quadrant as a choice of four."""
        answer = brightest_quadrant(facts.gray)
        if answer is None:
            return None
        text = self.pick("Which quadrant is the brightest?", "Where is most of the light?")
        thought = f"The {answer} is brightest."
        return _choice("quadrant", text, answer, options=QUADRANTS, thought=thought)

    def centre(self, facts: Facts) -> Question | None:
        """Is the centre brighter than the border?"""
        is_brighter = is_centre_brighter(facts.gray)
        if is_brighter is None:
            return None
        text = self.pick(
            "Is the centre brighter than the border?", "Is the middle the brightest part?"
        )
        place = "centre" if is_brighter else "border"
        answer = "yes" if is_brighter else "no"
        return Question("centre", text, answer, "yes_no", (), f"The {place} is brighter.")

    def wider(self, facts: Facts) -> Question | None:
        """Is the image wider than it is tall? Seen from the number of patches alone."""
        height, width = facts.gray.shape
        if height == width:
            return None
        text = self.pick(
            "Is the image wider than it is tall?", "Is the image taller than it is wide?"
        )
        answer = "yes" if (width > height) == ("wider than" in text) else "no"
        shape = "wide" if width > height else "tall"
        return Question("wider", text, answer, "yes_no", (), f"The image is {shape}.")


KINDS: dict[str, Callable[[Asker, Facts], Question | None]] = {
    "modality": Asker.modality,
    "modality_yes_no": Asker.modality_yes_no,
    "modality_choice": Asker.modality_choice,
    "plane": Asker.plane,
    "brightness": Asker.brightness,
    "left_right": Asker.left_right,
    "top_bottom": Asker.top_bottom,
    "quadrant": Asker.quadrant,
    "centre": Asker.centre,
    "wider": Asker.wider,
}
# A blank image of the same size still answers "wider", so it is no measure of seeing.
SEEING_KINDS = tuple(kind for kind in KINDS if kind != "wider")


def balance(
    questions: Sequence[tuple[demo_images.View, Question]], *, most: int, rng: np.random.Generator
) -> list[tuple[demo_images.View, Question]]:
    """Keeps questions of each kind so that all its golds occur equally often.

    Args:
      questions: Views with questions, any order.
      most: Upper bound for a kind.
      rng: Draws what is kept.

    Returns:
      The kept ones, shuffled. A kind with one gold only is left out: it needs no image.
    """
    by_gold: dict[str, dict[str, list[int]]] = {}
    for i, (_, question) in enumerate(questions):
        by_gold.setdefault(question.kind, {}).setdefault(question.answer, []).append(i)
    kept: list[int] = []
    for golds in by_gold.values():
        size = min(most // len(golds), *map(len, golds.values())) if len(golds) > 1 else 0
        for indices in golds.values():
            kept.extend(rng.permutation(indices)[:size].tolist())
    return [questions[i] for i in rng.permutation(kept)] if kept else []


def _choice(kind: str, text: str, answer: str, *, options: Sequence[str], thought: str) -> Question:
    letter = chr(ord("A") + list(options).index(answer))
    asked = prompts.ask_choice(text, list(options))
    return Question(kind, asked, letter, "choice", tuple(options), thought)
