# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Labels of a picture as a short, coarse caption, without what cannot be seen in it.

What a publisher knows of a picture is of three kinds: what pixels show, what they do not (age, sex,
outcome, the scanner), and what names a person. The second kind goes, with its reason, and the third
is never read on. A name that is of no known kind is treated as the second: a label that is shown to
be visible is named in `VISIBLE`, or by the rule of its set.
"""

import dataclasses
import re
from collections.abc import Mapping

from data_tools import filter_texts
from data_tools import modality_names as names_lib
from data_tools.synthesis import seeds as seeds_lib

IDENTIFIER, UNKNOWN = "names a person or a file", "not known to be visible"
STRUCTURES = "structures"  # what masks and boxes show, filled in by `labelled`

VISIBLE = frozenset(
    "finding findings diagnosis disease abnormality condition class category subtype lesion "
    "lesion_type structures organ anatomy body_part region part site tissue location side "
    "laterality eye view projection plane orientation sequence phase contrast weighting modality "
    "technique stain staining magnification cell_type cells count grade severity score density "
    "quality artifact artifacts device devices shape margin border texture color colour pattern "
    "skin_tone skin_type field malignancy morphology".split()
)
_NOT_SEEN = "age sex and the like are not in the pixels"
_OF_DATES = "a date or a time is not in the pixels"
_OF_CARE = "outcome, treatment and history are not in the pixels"
_OF_TESTS = "a test of another kind is not in the pixels"
_OF_STORE = "how the picture was made, kept or labelled is not what it shows"
_OF_STAGE = "a stage needs more than one picture"
# By words of a name.
_HIDDEN = {
    word: reason
    for reason, words in {
        _NOT_SEEN: (
            "age sex gender race ethnicity ethnic nationality weight height bmi pregnant pregnancy "
            "education income smoke smoking smoker drink alcohol occupation"
        ),
        _OF_DATES: "date time year month day offset duration followup follow days months years",
        _OF_CARE: (
            "outcome survival death dead alive mortality treatment therapy drug medication insulin "
            "insuline history symptom symptoms complaint icu admission discharge relapse "
            "recurrence response surgery comorbidities comorbidity diabetes hypertension biopsy "
            "biopsed itch bleed grew hurt changed"
        ),
        _OF_TESTS: (
            "idh mgmt her2 er pr ki67 gene mutation genotype receptor crp ldh lab laboratory blood "
            "pcr psa hba1c pressure temperature spo2 saturation dx_type confirmation"
        ),
        _OF_STORE: (
            "scanner manufacturer vendor camera model hospital institution centre center site_name "
            "kvp mas exposure annotator rater reader confidence split fold train test source width "
            "height spacing license licence"
        ),
        _OF_STAGE: "stage tnm staging",
    }.items()
    for word in words.split()
}
_IDENTIFIERS = frozenset(
    "id ids uid uuid mrn name names patient patientid accession ssn email mail phone telephone "
    "address birth birthday dob file filename path url uri doi doctor physician operator insurance "
    "key hash serial study series subject person".split()
)
_CLOSE_UP = ("dermoscopy", "histopathology", "microscopy", "endoscopy")
# Names that only some pictures show.
_HIDDEN_IN = {
    **dict.fromkeys(("side", "laterality"), (*_CLOSE_UP, "ultrasound", "digital photography")),
    **dict.fromkeys(("site", "location", "body_part", "region"), ("dermoscopy",)),
}
_KINDS = {
    "X-ray": "an X-ray picture",
    "CT": "a CT slice",
    "MRI": "an MR slice",
    "ultrasound": "an ultrasound picture",
    "histopathology": "a histopathology picture",
    "microscopy": "a microscopy picture",
    "OCT": "an optical coherence tomogram",
    "dermoscopy": "a dermoscopic picture",
    "fundus": "a fundus photograph",
    "endoscopy": "an endoscopic picture",
    "PET": "a PET picture",
    "digital photography": "a clinical photograph",
}
# In texts; what is left is the patient.
_AGES = re.compile(
    r"\b(?:an?\s+)?\d{1,3}\s*[- ]?(?:years?|yrs?|y/?o|months?|mo|days?|weeks?)[- ]*(?:old)?\b"
    r"(?:[ ,-]+(?:male|female|man|woman|boy|girl|infant|child|patient))?"
    r"|\b(?:an?\s+)?(?:elderly|middle-aged|young)\s+(?:male|female|man|woman|boy|girl|patient)\b"
    r"|\bage[d:]?\s+\d{1,3}\b",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """How the labels of one set are put into words.

    Attributes:
      sentences: Each with `{name}` in the place of labels; it is said where all of them are known.
      shows: Names that are visible in this set, beside those of `VISIBLE`.
      hides: Names that are not, and why.
    """

    sentences: tuple[str, ...] = ()
    shows: frozenset[str] = frozenset()
    hides: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Coarse:
    """What is known of a picture.

    Attributes:
      text: Short caption; "" where nothing visible is known.
      shown: Labels that are in it.
      removed: Names of labels that are not, and why.
    """

    text: str
    shown: Mapping[str, str]
    removed: Mapping[str, str]


RULES: dict[str, Rule] = {
    "covid19_radiography": Rule(
        sentences=("This is a frontal chest radiograph.", "Finding: {finding}.")
    ),
    "nih_chest_xray": Rule(
        sentences=("This is a frontal chest radiograph, {view}.", "Findings: {finding}.")
    ),
    "chexpert": Rule(
        sentences=("This is a {view} chest radiograph.", "Findings: {finding}."),
    ),
    "mendeley_knee_xray": Rule(
        sentences=(
            "This is a radiograph of a knee.",
            "Osteoarthritis by Kellgren and Lawrence: {grade}.",
        )
    ),
    "chest_ctscan": Rule(sentences=("This is a CT slice of the chest.", "Finding: {finding}.")),
    "brain_tumor_mri": Rule(sentences=("This is an MR slice of the head.", "Finding: {finding}.")),
    "brats2024": Rule(
        sentences=(
            "This is a contrast-enhanced T1-weighted MR slice of the brain after treatment of a"
            " glioma.",
            "It shows: {structures}.",
        )
    ),
    "mama_mia": Rule(
        sentences=(
            "This is a contrast-enhanced MR slice of the breasts.",
            "It shows: {structures}.",
        )
    ),
    "abdomen_us": Rule(
        sentences=("This is an ultrasound picture of the abdomen.", "It shows: {structures}.")
    ),
    "busi": Rule(sentences=("This is an ultrasound picture of a breast.", "Finding: {finding}.")),
    "ham10000": Rule(
        sentences=("This is a dermoscopic picture of a skin lesion.", "It is {finding}.")
    ),
    "isic_2020": Rule(
        sentences=(
            "This is a dermoscopic picture of a skin lesion.",
            "It is {malignancy}.",
            "It is {finding}.",
        )
    ),
    "pad_ufes_20": Rule(
        sentences=("This is a close photograph of a skin lesion.", "It is {finding}.")
    ),
    "fitzpatrick17k": Rule(
        sentences=("This is a clinical photograph of the skin.", "It shows {finding}.")
    ),
    "brset": Rule(
        sentences=(
            "This is a colour fundus photograph.",
            "Findings: {finding}.",
            "Diabetic retinopathy: {grade}.",
        )
    ),
    "diabetic_retinopathy_2015_2019": Rule(
        sentences=("This is a colour fundus photograph.", "Diabetic retinopathy: {grade}.")
    ),
    "ebhi_seg": Rule(
        sentences=(
            "This is a section of a biopsy of the large bowel, stained with hematoxylin and eosin.",
            "It shows: {finding}.",
        )
    ),
    "bccd": Rule(
        sentences=(
            "This is a light microscopy picture of a stained blood smear.",
            "It shows: {structures}.",
        )
    ),
    "hannover_covid_cxr": Rule(
        sentences=("This is a {view} chest radiograph.", "Finding: {finding}.")
    ),
}
_GENERAL = Rule()


def coarse(seed: seeds_lib.Seed) -> Coarse:
    """What is known of a picture, as a short caption.

    Args:
      seed: With labels, a caption, or both.
    """
    rule = RULES.get(seed.dataset, _GENERAL)
    shown: dict[str, str] = {}
    removed: dict[str, str] = {}
    for name, value in seed.labels.items():
        reason = why_hidden(name, dataset=seed.dataset, modality=seed.modality)
        if reason:
            removed[name] = reason
        elif value.strip():
            shown[name] = _without_persons(value)
    said = [_filled(sentence, shown) for sentence in rule.sentences]
    used = {name for sentence in rule.sentences for name in _places(sentence)}
    if not any(said) and shown and seed.modality in _KINDS:
        said.append(f"This is {_KINDS[seed.modality]}.")
    said += [f"{_title(name)}: {value}." for name, value in shown.items() if name not in used]
    if seed.caption:
        said.append(_without_ages(_without_persons(seed.caption)))
    return Coarse(" ".join(filter(None, said)), shown, removed)


def why_hidden(name: str, *, dataset: str = "", modality: str = "") -> str:
    """Why a label must not be in a caption; "" where pixels show it.

    Args:
      name: Of the label.
      dataset: Of its picture, for the rules of that set.
      modality: Of its picture.
    """
    plain = normal(name)
    words = set(plain.split("_"))
    if words & _IDENTIFIERS:
        return IDENTIFIER
    rule = RULES.get(dataset, _GENERAL)
    if plain in rule.hides:
        return rule.hides[plain]
    if plain in rule.shows:
        return ""
    if modality in _HIDDEN_IN.get(plain, ()):
        return f"{modality} does not show it"
    if plain in VISIBLE:
        return ""
    for word in (plain, *plain.split("_")):
        if word in _HIDDEN:
            return _HIDDEN[word]
    return UNKNOWN


def is_identifier(name: str) -> bool:
    """Whether a label may name a person, and must not be read on.

    Args:
      name: Of the label.
    """
    return bool(set(normal(name).split("_")) & _IDENTIFIERS)


def normal(name: str) -> str:
    """A name in small letters and _.

    >>> normal("Patient ID"), normal("lesionType")
    ('patient_id', 'lesion_type')
    """
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")


def modality_of(word: str) -> str:
    """A modality of ours; the word itself where it is none.

    Args:
      word: As a publisher writes it.
    """
    return names_lib.of_word(word) or word


def _places(sentence: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", sentence)


def _filled(sentence: str, labels: Mapping[str, str]) -> str:
    """A sentence; "" where one of its labels is not known."""
    if any(name not in labels for name in _places(sentence)):
        return ""
    return re.sub(r"\{(\w+)\}", lambda place: labels[place[1]], sentence)


def _title(name: str) -> str:
    said = normal(name).replace("_", " ")
    return said[:1].upper() + said[1:]


def _without_persons(text: str) -> str:
    """A text in which identifiers of persons are masked, as far as patterns find them."""
    said = " ".join(text.split()).rstrip(".") + ("." if text.rstrip().endswith(".") else "")
    return filter_texts.mask(said, filter_texts.personal(said))


def _without_ages(text: str) -> str:
    """A caption without age and sex of the patient, which no picture shows."""
    return re.sub(r"\s+", " ", _AGES.sub("a patient", text)).strip()
