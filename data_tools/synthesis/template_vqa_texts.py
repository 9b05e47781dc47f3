# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Questions by hand for each kind of label; `{value}` is a value of the label."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Kind:
    """How one kind of label is asked about.

    Attributes:
      ask: Questions whose answer is a value, with or without options.
      yes_no: Questions that a value is put into.
      ask_all: Questions whose answer is all values, of labels that have several; none where a label
        has one value.
      is_graded: Whether its values exclude each other though one holds the words of another, as
        "proliferative" and "not proliferative" do.
    """

    ask: tuple[str, ...]
    yes_no: tuple[str, ...]
    ask_all: tuple[str, ...] = ()
    is_graded: bool = False


KINDS: dict[str, Kind] = {
    "finding": Kind(
        ask=(
            "Which finding does this picture show?",
            "What is the finding in this picture?",
            "What would you report about this picture?",
            "Which diagnosis fits what is seen here best?",
        ),
        yes_no=(
            "Does this picture show {value}?",
            "Do you see {value} in this picture?",
            "Is what you see here consistent with {value}?",
        ),
        ask_all=(
            "Which findings does this picture show? Name all of them.",
            "List every finding in this picture.",
            "What are all the findings that you see here?",
        ),
    ),
    "malignancy": Kind(
        ask=(
            "Is the lesion in this picture benign or malignant?",
            "How would you class this lesion: benign or malignant?",
            "What is the nature of the lesion shown here, benign or malignant?",
        ),
        yes_no=(
            "Is this lesion {value}?",
            "Would you call the lesion in this picture {value}?",
            "Does the lesion look {value}?",
        ),
        is_graded=True,
    ),
    "grade": Kind(
        ask=(
            "How severe is the disease in this picture?",
            "Which grade of disease does this picture show?",
            "How would you grade what is seen here?",
        ),
        yes_no=(
            'Would you grade what is seen here as "{value}"?',
            'Is the grade of the disease in this picture "{value}"?',
            'Does "{value}" describe the severity of what is shown?',
        ),
        is_graded=True,
    ),
    "structure": Kind(
        ask=(
            "Which structure can be seen in this picture?",
            "What can be recognised in this picture?",
            "Which structure does the picture contain?",
        ),
        yes_no=(
            "Can the following be seen in this picture: {value}?",
            "Does this picture contain the following: {value}?",
            "Is this structure visible here: {value}?",
        ),
        ask_all=(
            "Which structures can be seen in this picture? Name all of them.",
            "List the structures that this picture contains.",
            "What can you recognise in this picture? Name everything that counts.",
        ),
    ),
    "organ": Kind(
        ask=(
            "Which part of the body does this picture show?",
            "What organ or region was imaged here?",
            "Which anatomy is depicted in this picture?",
        ),
        yes_no=(
            "Is this a picture of the following part of the body: {value}?",
            "Does this picture show the {value}?",
            "Was the {value} imaged here?",
        ),
    ),
    "site": Kind(
        ask=(
            "Where in the body does this finding lie?",
            "What is the location of the abnormality?",
            "At which site was this picture taken?",
        ),
        yes_no=(
            "Is the location of what is shown here: {value}?",
            'Would "{value}" be the right name of the site?',
            'Is the site shown here called "{value}"?',
        ),
    ),
    "side": Kind(
        ask=(
            "Which side of the body is shown?",
            "What is the side of the structure in this picture?",
            "Which side does this picture belong to?",
        ),
        yes_no=(
            "Is the {value} side shown?",
            "Does this picture belong to the {value} side?",
            "Is this the {value} side of the body?",
        ),
        is_graded=True,
    ),
    "view": Kind(
        ask=(
            "In which view was this picture taken?",
            "What is the projection of this picture?",
            "Which view does this picture have?",
        ),
        yes_no=(
            "Is this a picture in {value} view?",
            "Was this picture taken in {value} projection?",
            "Is the view of this picture {value}?",
        ),
        is_graded=True,
    ),
    "plane": Kind(
        ask=(
            "In which plane does this slice lie?",
            "What is the plane of this picture?",
            "Which orientation does the slice have?",
        ),
        yes_no=(
            "Is this slice {value}?",
            "Does the slice lie in the {value} plane?",
            "Is the orientation of this picture {value}?",
        ),
        is_graded=True,
    ),
    "sequence": Kind(
        ask=(
            "Which sequence or phase is this?",
            "How was this picture weighted or timed?",
            "Which type of acquisition does this picture come from?",
        ),
        yes_no=(
            "Is the sequence or phase of this picture {value}?",
            "Was this picture acquired as {value}?",
            "Does this picture come from the following acquisition: {value}?",
        ),
        is_graded=True,
    ),
    "modality": Kind(
        ask=(
            "Which imaging modality was used for this picture?",
            "How was this picture acquired?",
            "What type of imaging is this?",
            "By which technique was this picture made?",
        ),
        yes_no=(
            "Is {value} the modality of this picture?",
            "Was the technique of this picture {value}?",
            "Is this picture of the following modality: {value}?",
        ),
    ),
    "stain": Kind(
        ask=(
            "Which stain was used for this section?",
            "How was this specimen stained?",
            "What is the stain of this picture?",
        ),
        yes_no=(
            "Was this specimen stained with {value}?",
            "Is {value} the stain in this picture?",
            "Does the colour of this section come from {value}?",
        ),
    ),
    "cell": Kind(
        ask=(
            "Which type of cell does this picture show?",
            "What kind of cell is seen here?",
            "How would you name the cell in this picture?",
        ),
        yes_no=(
            "Is the cell in this picture of the following type: {value}?",
            "Does this picture show a cell of the type {value}?",
            "Would you name this cell {value}?",
        ),
    ),
}
# Of findings that say that nothing is there.
YES_NO_NORMAL = (
    'Is "{value}" the right reading of this picture?',
    'Can this picture be reported as "{value}"?',
    'Would you sum up this picture as "{value}"?',
)
HOW_MANY = (
    "How many objects of this kind are in the picture: {value}?",
    "Count what is of this kind in the picture: {value}. How many are there?",
    "What is the number of objects of the kind {value} in this picture?",
)
# Names that labels have.
NAMES: dict[str, str] = {
    name: kind
    for kind, names in {
        "finding": (
            "finding findings diagnosis disease abnormality condition class category subtype "
            "lesion lesion_type morphology"
        ),
        "malignancy": "malignancy",
        "grade": "grade severity score",
        "structure": "structures device devices artifact artifacts",
        "organ": "organ anatomy body_part region part tissue",
        "site": "site location",
        "side": "side laterality eye",
        "view": "view projection",
        "plane": "plane orientation",
        "sequence": "sequence phase weighting contrast",
        "modality": "modality technique",
        "stain": "stain staining",
        "cell": "cell_type cells",
    }.items()
    for name in names.split()
}
