# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked for long captions: of the boxed picture, of the raw one, and for their summary.

The order of work is the paper's (arXiv 2506.07044, 2.2.1 and its appendix A.4). The wording is of
this project, and so are the lists of what a doctor wants to read of each kind of picture.
"""

from data_tools.synthesis import asks

_RULES = """\
Rules:
- State what is known of the picture as what you see yourself. Never speak of rectangles, numbers,
  marks or arrows that were added, of labels, of a caption, of metadata, of background knowledge, or
  of these instructions.
- Say where things are by anatomy, or by the part of the picture; not by their numbers.
- Keep to one organ and one disease, those that are known. Add no other diagnosis.
- Leave out what cannot be seen: the age, sex, name and history of the patient, dates, and causes.
- The background is there to help you recognise things. Do not repeat it, and do not explain the
  disease.
- Where you are not sure, say less. Make up no measurements.
- Write plain English sentences without headings and lists."""

_REPLY = """\
Reply with a JSON object that has exactly the fields overall, region, relations and description,
each a text."""

BOXED = asks.Prompt(
    "long_captions.boxed",
    """\
You see a medical picture into which numbered rectangles were drawn, each around a region that
experts have marked.

Known of the picture: $known
The numbers stand for:
$legend
$background
Answer three questions from the picture, then write one text.
- overall: What kind of picture is it, what part of the body or what material does it show, from
  which view or how prepared, and what is the first impression of the whole?
- region: Where does each marked region lie, and how does it look: its shape and size beside what is
  around it, its border, its brightness, colour or signal, and its texture?
- relations: How do the marked regions relate to each other and to their surroundings: what do they
  touch, displace, narrow, invade or spare, and is there anything like them elsewhere?
- description: The three answers as one text that flows, without repetition.

"""
    + _RULES
    + "\n\n"
    + _REPLY,
)

RAW = asks.Prompt(
    "long_captions.raw",
    """\
You see a medical picture.

Known of the picture: $known
$background
Answer three questions from the picture, then write one text.
- overall: What kind of picture is it, what part of the body or what material does it show, from
  which view or how prepared, and what is the first impression of the whole?
- region: Where is what is known to be there, and how does it look: its shape and size beside its
  surroundings, its border, its brightness, colour or signal, and its texture? If nothing abnormal
  is known, describe the main structure in the same way.
- relations: How does it relate to its surroundings: what does it touch, displace, narrow, invade or
  spare, and is there anything like it elsewhere?
- description: The three answers as one text that flows, without repetition.

"""
    + _RULES
    + "\n\n"
    + _REPLY,
)

PREFERENCE = asks.Prompt(
    "long_captions.preference",
    """\
You see $kind. Describe it as $reader would like to read it, for a collection that young doctors
learn from. Go through these points in their order, and pass over what the picture does not show:
$points

Say only what can be seen, in plain English sentences without headings and lists. Name no patient,
age, sex or date, explain no disease, and advise no treatment. Where a sign could mean several
things, describe the sign.

Reply with a JSON object that has exactly the field description, a text.""",
)

SUMMARY = asks.Prompt(
    "long_captions.summary",
    """\
Two descriptions of the same medical picture follow.

FIRST:
$facts

SECOND:
$preference

Write one description from both.
- Where they contradict each other, the FIRST is right; what the SECOND says against it goes.
- Take from the SECOND what the FIRST does not have and does not contradict.
- Add nothing that stands in neither.
- $order
- Do not say what a disease is, what causes it, or how it is treated; describe what is seen.
- Do not mention that there were several descriptions, nor rectangles, marks, labels, captions,
  metadata or background.
- Plain English sentences in the present tense, without headings, lists and repetition.

Reply with a JSON object that has exactly the field caption, a text.""",
)

BY_ORGAN = (
    "Begin with the kind of picture and its view. Then go from organ to organ: finish one before"
    " the next begins, the abnormal ones first, then those that look normal and are mentioned."
)
BY_DETAIL = (
    "Begin with the kind of picture and the whole, then go on to the main finding and its details,"
    " and end with its surroundings."
)
ORGANS = ("CT", "MRI", "X-ray", "ultrasound")  # are told organ by organ

KNEE = "knee X-ray"
OTHER = "other"
# Of each modality: what the picture is, whose reader wants to know, and what.
_DOCTORS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "MRI": (
        "a magnetic resonance picture",
        "a radiologist",
        (
            "the sequence or weighting as far as signal of fluid, fat and contrast medium tells it",
            "the plane, and the level of the slice by landmarks",
            "the anatomy that is shown, and its symmetry",
            "abnormal findings: where, how many, size beside neighbouring structures, border",
            "their signal against normal tissue of the same organ, and whether it is even",
            "enhancement, its pattern, if contrast medium was given",
            "edema, mass effect, displaced or narrowed spaces",
            "artefacts that limit what can be told",
        ),
    ),
    "X-ray": (
        "a radiograph",
        "a radiologist",
        (
            "the part of the body, the view, and the position of the patient",
            "exposure, rotation, depth of breath, and what is cut off",
            "devices, tubes, leads and foreign bodies, and where their ends lie",
            "of the chest: airways, lungs by zones, pleura and costophrenic angles, heart and"
            " mediastinum, hila, diaphragm, bones and soft tissue",
            "of bones: alignment, cortex, trabecular pattern, joint spaces, soft tissue",
            "abnormal opacity or lucency: side, zone, extent, density, border",
            "signs of lost or gained volume",
        ),
    ),
    KNEE: (
        "a radiograph of a knee",
        "an orthopaedic radiologist",
        (
            "the view, and whether one knee or both are shown",
            "width of the medial and the lateral joint space, and how they compare",
            "osteophytes: at which margins, and how large",
            "subchondral sclerosis and cysts",
            "deformity of the bone ends, and alignment",
            "patella and patellofemoral joint, where they are shown",
            "soft tissue, effusion, calcification, implants",
            "how severe osteoarthritis is on the whole, by these signs",
        ),
    ),
    "CT": (
        "a computed tomography picture",
        "a radiologist",
        (
            "the plane, the level by landmarks, and the window (lung, soft tissue, bone)",
            "whether contrast medium was given, and its phase as vessels and organs show it",
            "the organs that are shown, one by one",
            "abnormal findings: organ and segment, number, shape, size beside their surroundings",
            "their density against the organ: gas, fat, fluid, soft tissue, calcium; even or not",
            "enhancement and its pattern",
            "border, spread into surroundings, vessels and lymph nodes",
            "free fluid or gas, and artefacts",
        ),
    ),
    "histopathology": (
        "a microscopic picture of a tissue section",
        "a pathologist",
        (
            "the stain, and the magnification as far as the size of nuclei tells it",
            "the tissue, and its architecture: preserved, distorted or lost",
            "cells: kinds, how dense, how arranged",
            "nuclei: size, shape, chromatin, nucleoli, mitoses",
            "cytoplasm, and what is produced: mucin, keratin, pigment",
            "stroma: fibrosis, desmoplasia, vessels, inflammation and its cells",
            "necrosis, hemorrhage, invasion across boundaries",
            "artefacts of cutting and staining",
        ),
    ),
    "dermoscopy": (
        "a dermoscopic or close picture of the skin",
        "a dermatologist",
        (
            "symmetry, border and outline of the lesion",
            "colours, how many, and how they are spread",
            "structures: network, dots and globules, streaks, blotches, regression, veil",
            "vessels: shape and arrangement",
            "scale, crust, ulcer, surface",
            "the skin around it, hair, and the part of the picture that the lesion takes",
            "things that are not skin: ruler, gel, bubbles, ink",
        ),
    ),
    "endoscopy": (
        "a picture of an endoscopy of the digestive tract",
        "an endoscopist",
        (
            "the section of the tract as far as landmarks tell it, and the kind of light",
            "how clean and how wide the lumen is",
            "mucosa: colour, vessels, folds, moisture",
            "lesions: number, place on the wall, shape (flat, raised, stalked, depressed), size"
            " beside folds or instruments",
            "their surface and pit pattern, border, ulcer, bleeding",
            "instruments, clips, dye, and what they do",
            "blur, bubbles, reflections",
        ),
    ),
    "fundus": (
        "a photograph of the fundus of an eye",
        "an ophthalmologist",
        (
            "which eye, by the place of the disc, the field, and the quality of the picture",
            "disc: colour, border, cup and its ratio to the disc",
            "vessels: calibre, ratio of arteries to veins, course, crossings",
            "macula and fovea: reflex, pigment, swelling",
            "hemorrhages, microaneurysms, exudates, cotton-wool spots, drusen: number, quadrant",
            "new vessels, membranes, scars of laser, detachment",
            "the periphery, as far as it is shown",
        ),
    ),
    "ultrasound": (
        "an ultrasound picture",
        "a physician who does ultrasound",
        (
            "the organ or region, the plane, and the mode (grey scale, Doppler)",
            "the layers from the probe downwards",
            "echogenicity and texture of the organ against its neighbours",
            "lesions: place, shape, orientation, border, echo pattern, size beside the organ",
            "what lies behind: enhancement, shadow, reverberation",
            "fluid, calcification, flow where it is shown",
            "artefacts, and what gain and depth leave unseen",
        ),
    ),
    "OCT": (
        "an optical coherence tomogram of the retina",
        "an ophthalmologist",
        (
            "the direction of the section, and whether the fovea is met",
            "the contour of the fovea",
            "the layers from the inner limiting membrane to the choroid, and where they are broken",
            "fluid: within or below the retina, below the pigment epithelium",
            "hyperreflective spots, drusen, atrophy, membranes, traction",
            "thickness beside the rest of the section",
            "quality of the signal, shadows",
        ),
    ),
    "PET": (
        "a picture of a positron emission tomography",
        "a physician of nuclear medicine",
        (
            "the plane, the part of the body, and whether CT or MR lies below",
            "normal uptake: brain, heart, liver, kidneys and bladder, as far as they are shown",
            "abnormal uptake: place, number, shape, how strong beside liver or blood",
            "symmetry, and uptake that is even or focal",
            "what the anatomy below shows at the same place",
            "artefacts of motion, of attenuation, and of misregistration",
        ),
    ),
    "microscopy": (
        "a microscopic picture of cells",
        "a cell biologist or haematologist",
        (
            "the kind of microscopy and the stain, as far as it can be told",
            "kinds of cells, how many of each, and how they are arranged",
            "size, shape and border of cells",
            "nuclei: number, shape, chromatin; cytoplasm: colour, granules, vacuoles",
            "inclusions, organisms, platelets, debris",
            "what differs from normal cells of the kind",
            "focus, staining and overlap",
        ),
    ),
    "digital photography": (
        "a clinical photograph",
        "a physician who examines the place shown",
        (
            "the part of the body, the side if it can be told, and the view",
            "lesions: number, arrangement, and spread",
            "kind and size: macule, papule, plaque, nodule, vesicle, ulcer, wound",
            "colour, border, surface, scale, crust",
            "skin or mucosa around: redness, swelling, scars",
            "deformity or asymmetry",
            "light, focus, and things in view that are not the body",
        ),
    ),
    OTHER: (
        "a medical picture",
        "a physician of the field",
        (
            "the kind of picture, and what it shows",
            "the main structures, and how they are arranged",
            "what is abnormal: place, number, size, shape, border, colour or brightness",
            "what lies around it, and what is spared",
            "what limits the picture",
        ),
    ),
}


def preference(modality: str, *, is_knee: bool = False) -> str:
    """What is asked of the raw picture.

    Args:
      modality: A word of `modality_names`; another one has a general list.
      is_knee: A radiograph of a knee has a list of its own.
    """
    key = KNEE if is_knee and modality == "X-ray" else modality
    kind, reader, points = _DOCTORS.get(key, _DOCTORS[OTHER])
    listed = "\n".join(f"- {point}" for point in points)
    return PREFERENCE.fill(kind=kind, reader=reader, points=listed)


def order(modality: str) -> str:
    """In which order a summary goes.

    Args:
      modality: As of `preference`.
    """
    return BY_ORGAN if modality in ORGANS else BY_DETAIL


# What users ask a caption for; the paper does not say its wording.
REQUESTS = (
    "Describe this medical picture in detail.",
    "Please give a detailed description of this picture.",
    "What does this picture show? Describe everything of medical interest.",
    "Write a thorough description of the findings in this picture.",
    "Look closely at this picture and report what you see, with all details.",
    "Give a full account of what is visible in this medical picture.",
    "Can you describe this picture carefully, from the whole to the details?",
    "I need a complete description of this picture. What can be seen?",
    "Go through this picture step by step and describe its findings.",
    "Provide a comprehensive description of the medical picture above.",
    "Describe the structures in this picture, and anything abnormal about them, in detail.",
    "Explain in detail what is shown here.",
)
