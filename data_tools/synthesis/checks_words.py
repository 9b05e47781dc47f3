# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The words that the check of grounding knows: findings, anatomy, modalities, stains.

A line is `name: other forms > what it implies`. Pneumonia implies opacity and lung: whoever knows
of pneumonia may speak of both. Implications are followed to their end. The list is small on
purpose: a word that is not in it is never flagged.
"""

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

FINDINGS = """
abscess:
adenoma: > mass, benign
anemia: anaemia
aneurysm: aneurysmal
appendicitis: > abdomen
ascites: > abdomen
atelectasis: atelectatic, lung collapse, collapsed lung > lung, opacity
benign:
calcification: calcified, calcifications, microcalcification
cancer: malignant, malignancy, malignancies, cancerous
carcinoma: adenocarcinoma > cancer, mass
cardiomegaly: enlarged heart, heart is enlarged, cardiac enlargement > heart
cataract: > eye
catheter: central line, picc, picc line
cirrhosis: cirrhotic > liver
covid: covid 19, sars cov 2, coronavirus > pneumonia
cyst: cystic
demyelination: demyelinating, multiple sclerosis
dermatitis: eczema > skin, inflammation
dislocation: dislocated
drusen: > retina
edema: oedema, edematous, oedematous
effusion:
emphysema: emphysematous > lung
erosion: erosive
exudate: exudative
fibrosis: fibrotic
fracture: fractured > bone
glaucoma: glaucomatous, cupping > eye, optic disc
glioma: glioblastoma, astrocytoma, oligodendroglioma > brain, mass, cancer
hemangioma: haemangioma > mass, benign
hemorrhage: haemorrhage, hemorrhagic, haemorrhagic, bleeding, hematoma, haematoma
hepatomegaly: enlarged liver > liver
hernia: herniation, herniated
hydrocephalus: ventriculomegaly > brain
hydronephrosis: > kidney
implant: prosthesis, prostheses, arthroplasty
infarct: infarction, ischemia, ischaemia, ischemic, ischaemic, stroke
infection: infectious, infected
inflammation: inflammatory, inflamed
keratosis: keratoses > skin
leukemia: leukaemia, leukemic > cancer, blood
lymphadenopathy: enlarged lymph node, enlarged node
lymphoma: > cancer
malaria: plasmodium > infection
mass: tumor, tumour, neoplasm, neoplastic
melanoma: > cancer, skin
meningioma: > brain, mass
metastasis: metastases, metastatic > cancer
microaneurysm: > retina
necrosis: necrotic
nevus: naevus, nevi, naevi, mole > skin
nodule: nodular
obstruction: obstructed, obstructive
opacity: opacities, opacified, opacification, consolidation, consolidated, infiltrate, ground glass
osteoarthritis: arthritis, osteophyte, joint space narrowing > joint, bone
pacemaker: > heart
pneumonia: pneumonic > opacity, lung, infection, inflammation
pneumothorax: pneumothoraces > lung, pleura
polyp: polypoid
psoriasis: psoriatic > skin, inflammation
retinopathy: > retina
scoliosis: > spine
splenomegaly: enlarged spleen > spleen
steatosis: fatty liver > liver
stenosis: stenotic, stenoses
stent: stents
stone: calculus, calculi, gallstone, nephrolithiasis, cholelithiasis
thrombus: thrombosis, embolism, embolus, emboli, thrombi
tuberculosis: tuberculous > infection, lung
tube: endotracheal tube, nasogastric tube, ng tube, chest tube, intubated
ulcer: ulceration, ulcerated
"""

ANATOMY = """
abdomen: abdominal
ankle: > bone, joint
aorta: aortic
bladder: urinary bladder > pelvis
blood: blood smear, peripheral blood
bone: osseous, bony
bowel: intestine, intestinal > abdomen
brain: cerebral, intracranial > head
brainstem: brain stem, pons, medulla oblongata > brain
breast: mammary
bronchus: bronchi, bronchial > lung
cerebellum: cerebellar > brain
chest: thorax, thoracic
colon: colonic, sigmoid > bowel
diaphragm: hemidiaphragm, diaphragmatic > chest
elbow: > bone, joint
erythrocyte: red blood cell, red cell, rbc > blood
esophagus: oesophagus, esophageal, oesophageal
eye: ocular
femur: femoral > bone
foot: feet > bone
frontal lobe: > brain
gallbladder: > abdomen
hand: > bone
head: cranial
heart: cardiac > chest
hilum: hilar, hila > chest
hip: > bone, joint
joint:
kidney: renal > abdomen
knee: > bone, joint
leukocyte: white blood cell, white cell, wbc, neutrophil, lymphocyte, monocyte, eosinophil > blood
liver: hepatic > abdomen
lower lobe: lower zone
lung: pulmonary > chest
macula: macular, fovea, foveal > retina
mediastinum: mediastinal > chest
middle lobe: middle zone, lingula
occipital lobe: > brain
optic disc: optic disk, optic nerve head > eye
ovary: ovaries, ovarian > pelvis
pancreas: pancreatic > abdomen
parietal lobe: > brain
patella: patellar > knee
pelvis: pelvic
platelet: thrombocyte > blood
pleura: pleural > chest
prostate: prostatic > pelvis
rectum: rectal > pelvis
retina: retinal > eye
rib: > bone, chest
shoulder: > bone, joint
skin: cutaneous, dermal, epidermis, epidermal
skull: > bone, head
spine: spinal, vertebra, vertebrae, vertebral > bone
spleen: splenic > abdomen
stomach: gastric > abdomen
temporal lobe: > brain
thyroid:
tibia: tibial > bone
trachea: tracheal > chest
upper lobe: upper zone, apex, apical
uterus: uterine > pelvis
vitreous: > eye
wrist: > bone, joint
"""

# What a picture of a region shows: a caption of a chest may name the heart.
REGIONS = {
    "chest": "lung heart pleura mediastinum diaphragm hilum trachea bronchus aorta rib bone spine",
    "abdomen": "liver spleen kidney pancreas gallbladder bowel stomach colon aorta spine",
    "pelvis": "bladder prostate uterus ovary rectum hip bone",
    "head": "brain skull brainstem cerebellum",
    "brain": "brainstem cerebellum",
    "eye": "retina macula vitreous",
    "knee": "femur tibia patella",
    "spine": "",
    "blood": "leukocyte erythrocyte platelet",
}

MODALITIES = """
angiography: angiogram, angiographic
computed tomography: ct, cta, hrct
contrast: contrast enhanced, post contrast, gadolinium
dermoscopy: dermoscopic, dermatoscopy, dermatoscopic > skin
diffusion weighted: dwi, adc > mri
endoscopy: endoscopic, gastroscopy, colonoscopy
flair: > mri
fundus: fundus photograph, fundus photography > eye, retina, macula, optic disc
histopathology: histopathological, histopathologic, histology, histological, histologic
mammography: mammogram, mammographic > breast, x ray
microscopy: micrograph, photomicrograph
mri: mr, magnetic resonance
optical coherence tomography: oct > retina, eye, macula
pet: positron emission tomography
t1: t1 weighted, t1w > mri
t2: t2 weighted, t2w > mri
ultrasound: ultrasonography, sonography, sonographic, sonogram, doppler, echocardiography
x ray: xray, radiograph, radiography, radiographic, cxr, plain film
"""

STAINS = """
acid fast: ziehl neelsen
congo red:
giemsa:
gram stain: gram positive, gram negative
h&e: h & e, hematoxylin, haematoxylin, eosin
immunohistochemistry: immunohistochemical, immunostain, ihc
ki 67: ki67
papanicolaou: pap smear, pap stain
periodic acid: periodic acid schiff
silver stain: grocott, gms
trichrome: masson
wright: wright stain
"""


class Mention(NamedTuple):
    """A known word in a text.

    Attributes:
      name: Of its line.
      said: As it stands there.
      start: First character.
      end: One after the last.
    """

    name: str
    said: str
    start: int
    end: int


def _read(table: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Names by form, and what each name implies."""
    names: dict[str, str] = {}
    implied: dict[str, tuple[str, ...]] = {}
    for line in table.strip().splitlines():
        name, rest = line.split(":", 1)
        forms, _, follows = rest.partition(">")
        names |= {form: name for form in (name, *_listed(forms))}
        implied[name] = tuple(_listed(follows))
    return names, implied


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


_NAMES, _IMPLIED = _read(FINDINGS + ANATOMY.strip() + MODALITIES + STAINS.strip())
FINDING_NAMES = frozenset(_read(FINDINGS)[1])
CELLS = frozenset(("leukocyte", "erythrocyte", "platelet"))  # are counted, as findings are
_FORM = re.compile(
    rf"(?<![a-z0-9])({'|'.join(map(re.escape, sorted(_NAMES, key=len, reverse=True)))})"
    r"(?:e?s)?(?![a-z0-9])"
)


def mentions(text: str) -> list[Mention]:
    """The known words of a text, in order; of two that overlap the longer one.

    Args:
      text: In lower case, with blanks for hyphens.
    """
    return [
        Mention(_NAMES[match[1]], match[0], match.start(), match.end())
        for match in _FORM.finditer(text)
    ]


def implied(names: Iterable[str]) -> frozenset[str]:
    """Names, and all that they imply.

    Args:
      names: Of lines.
    """
    return frozenset().union(*map(_closed, names))


def shown(names: Iterable[str]) -> frozenset[str]:
    """What is to be seen in pictures of regions.

    Args:
      names: Of lines; those that are no regions show nothing.
    """
    return frozenset(
        part for name in names for part in _listed(REGIONS.get(name, "").replace(" ", ","))
    )


@functools.cache
def _closed(name: str) -> frozenset[str]:
    return frozenset((name,)).union(*(_closed(other) for other in _IMPLIED[name]))
