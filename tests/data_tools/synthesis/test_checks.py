# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from data_tools.synthesis import checks, checks_words
from lingshu_jax.common import errors

LEAKS = [
    "The provided answer is B, and the picture agrees.",
    "Given that the correct answer is pneumonia, the opacity must be infectious.",
    "As stated in the ground truth, the lesion is benign.",
    "According to the answer key, option C is right.",
    "Since we already know the answer is yes, look for the fracture.",
    "The correct answer, as given in the label, is melanoma. The reference answer says so.",
    "I was given the correct answer, which is A.",
    "This is consistent with the given answer.",
    "Option B is marked as correct.",
    "Given the correct answer, we can work backwards.",
    "As the answer suggests, there is an effusion.",
    "The question tells us that the answer is glioma.",
    "Since the correct answer is B, the others can be ruled out.",
    "Looking at the picture. The answer provided is left.",
    "The answer was given as option D.",
    "Knowing the answer, the shadow is a nodule.",
    "This matches the correct answer of 3 cm.",
    "My task is to reach the target answer.",
    "According to the provided labels, this is a nevus.",
    "根据标准答案，该病变为良性。",
    "题目给出的正确答案是B，因此排除其他选项。",
    "由于正确答案是肺炎，所以可见浸润影。",
    "正确答案已经给出，为A。",
    "参考答案为左侧。",
    "The answer, as provided, is B.",
    "We are told the diagnosis is melanoma in the answer.",
    "Because the label is pneumonia, I conclude pneumonia.",
    "The user has given the answer C, which I must explain.",
    "My reasoning must end in option A because that is the right answer supplied.",
    "Working backward from the known correct option, the mass is benign.",
    "The ground truth label being 'left', the side is left.",
    "This aligns with the answer given.",
    "The solution given in the prompt is B.",
    "It is confirmed by the given ground-truth that the lesion is malignant.",
    "Since the answer given is yes, there must be a fracture.",
    "The true label says COVID-19.",
    "According to the correct answer, the tissue is colon.",
    "The reference states that this is a glioma.",
    "正确答案为B，这与给定答案一致。",
    "已知答案是肺炎，因此……",
    "题目提供了正确答案：左侧。",
    "如答案所示，病灶位于肝脏。",
    "We have the correct answer available: option D.",
    "As the ground truth is abnormal, we search for a lesion.",
    "The answer we were told is 'no'.",
    "I have been told that the correct option is A.",
    "The supplied diagnosis in the answer field is psoriasis.",
    "Per the answer key this is an MRI.",
    "The instructions give the answer as liver.",
    "Consistent with the reference answer, the lesion is cystic.",
    "Given that the answer is 'left', the shadow lies on the left.",
    "As provided, the correct answer is C.",
    "The gold label confirms it.",
    "根据给定的正确答案，病变为恶性。",
    "标准答案是A。",
    "答案已给出：肺炎。",
]
HONEST = [
    "The expected response to light is a smaller pupil.",
    "The answer is B.",
    "Therefore the correct answer is pneumonia.",
    "The correct option must be B because the mass enhances.",
    "Given the lesion and its irregular border, melanoma is likely.",
    "The best answer given the findings is C.",
    "Among the provided answer choices, only D names a vessel.",
    "None of the given options mentions the kidney.",
    "Biopsy is the gold standard for this diagnosis.",
    "As stated in the question, the patient has a fever.",
    "The image provided shows an axial slice.",
    "The label in the corner marks the right side.",
    "Marked right ventricular enlargement is visible.",
    "It is labelled as right lung in the atlas.",
    "Because the answer depends on the plane, look at the orientation first.",
    "The correct answer is given by option B, which names the finding.",
    "Given the answer choices, the task is to weigh each.",
    "This leads to the final answer.",
    "What is known: the patient is 45 years old.",
    "This option is correct since the vessel is patent.",
    "因此正确答案是B。",
    "活检是诊断的金标准。",
    "根据图像所见，答案为左肺。",
    "在给出的答案选项中，只有C提到肾脏。",
    "我给出的答案是B。",
    "I will now evaluate each option to find the correct answer.",
    "The correct answer must account for the fever.",
    "So the answer to the question is: right kidney.",
    "Option A is incorrect since the vessel is normal.",
    "The true lumen is smaller than the false lumen.",
    "The final answer is supported by the high signal.",
    "The answer choice that matches the image is D.",
    "Given the absence of fever, infection is unlikely.",
    "The reference line marks the carina.",
    "The scale bar provided in the image shows 50 um.",
    "Based on the image provided, the answer is C.",
    "As given in the vignette, the patient smokes.",
    "The correct diagnosis is therefore pneumonia.",
    "The patient was given antibiotics.",
    "None of the answers fits better than B.",
    "The right answer is the one naming the right lung.",
    "The answer is indicated by the arrow in the image.",
    "A definitive answer would require biopsy.",
    "正确答案应为C，因为边缘光滑。",
    "题目给出的图像为CT。",
    "患者已知有高血压。",
    "选项B与影像表现一致。",
    "A correct answer requires looking at the hilum.",
    "The answer lies in the location of the mass.",
    "The expected location of the appendix is here.",
    "The answer to this must be yes.",
    "We are told that the patient is diabetic.",
    "Given that the mass enhances, it is a tumor.",
    "The provided CT slice shows the liver.",
    "The stated symptoms point to infection.",
    "Thus the only consistent option is D.",
    "Options A and C can be excluded, so the answer is B.",
    "The known risk factors include smoking.",
    "The model of the heart is normal.",
    "Correct labelling of the vessel matters.",
    "The true size cannot be measured.",
    "综上，答案选B。",
    "已知图像为MRI，可见肿块。",
]
BOXES = [
    "The red box shows a nodule.",
    "A bounding box surrounds the lesion.",
    "The lesion within the green rectangle is dark.",
    "The highlighted region is hyperintense.",
    "The marked lesion has an irregular edge.",
    "Inside the box, the parenchyma is dense.",
    "The lesion is outlined in red.",
    "The area highlighted in the image is bright.",
    "According to the caption, this is a glioma.",
    "The provided metadata says that the stain is H&E.",
    "As described in the medical knowledge, nevi are round.",
    "The supplied description mentions an effusion.",
    "The region of interest lies in the liver.",
    "The segmentation mask covers the tumour.",
    "The tumor is enclosed by a yellow frame.",
    "There are two boxes in the upper half.",
    "The boxed area is darker.",
    "红框内可见结节。",
    "标注的区域呈高信号。",
    "根据说明文字，图中为肝脏。",
    "感兴趣区位于左肺。",
    "An outlined box marks the tumor.",
    "The lesion, marked by the red rectangle, is dark.",
    "A rectangular marker surrounds the polyp.",
    "The given label indicates melanoma.",
    "In the area enclosed by the box, cells are dense.",
    "The green square covers the nucleus.",
    "Based on the provided information, this is a scan of the liver.",
    "The ROI is bright.",
    "The annotated region contains necrosis.",
    "As mentioned in the knowledge, gliomas infiltrate.",
    "Per the metadata the stain is PAS.",
    "The outlined area is hypointense.",
    "The yellow contour follows the mass.",
    "The bounding boxes mark platelets.",
    "绿色方框内为血小板。",
    "图中矩形框标出肿瘤。",
]
CLEAN = [
    "The heart is box-shaped.",
    "The lesion is outlined by a hyperintense rim.",
    "A boxlike configuration of the heart is seen.",
    "There is marked enhancement of the mass.",
    "Marked areas of necrosis are present.",
    "The well outlined lesion has a smooth edge.",
    "The anatomical snuff box is tender.",
    "The border of the lesion is red and scaly.",
    "The nodule is indicated by an arrow.",
    "A markedly enlarged heart.",
    "The voice box is displaced.",
    "Blood flow is shown in red and blue.",
    "An oxygen mask is visible over the face.",
    "The specimen is of rectangular shape.",
    "A white line runs along the cortex.",
    "The circumscribed lesion lies beside the vessel.",
    "病灶边缘清楚，呈环形强化。",
    "左侧眼眶未见异常。",
    "根据影像表现，考虑肺炎。",
    "The lesion has a well-defined outline.",
    "The red blood cells are round.",
    "A green discolouration surrounds the ulcer.",
    "The mass is highlighted by contrast uptake.",
    "A square-shaped vertebral body is seen.",
    "The frame of the chest is symmetric.",
    "The area of interest is not enlarged.",
    "The lesion is marked by central necrosis.",
    "There is a yellow circle of exudate around the macula.",
    "The labelled antibody binds to the membrane.",
    "The contour of the heart is normal.",
    "The area marked by erythema is swollen.",
    "A box plot is not shown.",
    "The white square of gauze covers the wound.",
    "Boxer's fracture of the fifth metacarpal.",
    "骨皮质连续，边缘光滑。",
]

PNEUMONIA = "modality: X-ray; region: chest; finding: pneumonia; side: right"
NORMAL = "modality: X-ray; region: chest; finding: normal"
SKIN = "modality: dermoscopy\ndiagnosis: melanoma\nsex: female\nage: 55"
COLON = "stain: H&E; organ: colon; finding: adenocarcinoma"
BRAIN = "A brain MRI, T2-weighted. A glioma of 3.2 cm lies in the left temporal lobe."
BLOOD = "modality: microscopy; stain: Giemsa; platelet: 3; white blood cell: 1"
EFFUSION = "Chest radiograph. The effusion has decreased since the last study. No pneumothorax."
LABELS = "modality: X-ray\nregion: chest\nEdema: 1\nFracture: 0\nAtelectasis: no"

# What is known, what is said, and a part of what has to be flagged; "" has to pass.
GROUNDING = [
    (PNEUMONIA, "There is pneumonia on the right.", ""),
    (PNEUMONIA, "There is an opacity in the right lung.", ""),
    (PNEUMONIA, "There is an opacity in the left lung.", "left"),
    (PNEUMONIA, "Both lungs show opacities.", "both"),
    (PNEUMONIA, "A fracture of a rib is seen.", "fracture"),
    (PNEUMONIA, "The heart is of usual shape.", ""),
    (PNEUMONIA, "The liver is enlarged.", "liver"),
    (PNEUMONIA, "There is no pleural effusion.", "effusion"),
    (PNEUMONIA, "The opacity measures 3 cm.", "3 cm"),
    (PNEUMONIA, "A 45-year-old man with fever.", "45 year"),
    (PNEUMONIA, "The opacity is unchanged.", "unchanged"),
    (PNEUMONIA, "No acute abnormality is seen.", "no acute abnormality"),
    (PNEUMONIA, "An axial CT of the chest.", "ct"),
    (PNEUMONIA, "The picture is bright in the middle and grey at the edge.", ""),
    (NORMAL, "The lungs are clear, without consolidation or effusion.", ""),
    (NORMAL, "Both lungs are clear.", ""),
    (NORMAL, "There is no pneumothorax on the left.", ""),
    (NORMAL, "There is a nodule in the left lung.", "nodule"),
    (NORMAL, "No effusion, but a nodule is seen.", "nodule"),
    (SKIN, "A melanoma with an irregular border.", ""),
    (SKIN, "The malignant lesion of the skin of a woman.", ""),
    (SKIN, "The lesion of an adult female.", ""),
    (SKIN, "A man with a dark lesion.", "man"),
    (SKIN, "The nevus is benign.", "benign"),
    (SKIN, "The ulcerated surface is dark.", "ulcerated"),
    (COLON, "An H&E stained section of the colon with carcinoma.", ""),
    (COLON, "Eosin colours the stroma.", ""),
    (COLON, "The Giemsa stain shows the nuclei.", "giemsa"),
    (COLON, "Invasion of the liver is seen.", "liver"),
    (BRAIN, "A mass of 32 mm in the left temporal lobe.", ""),
    (BRAIN, "A mass of 23 mm in the temporal lobe.", "23 mm"),
    (BRAIN, "The mass lies in the left frontal lobe.", "frontal lobe"),
    (BRAIN, "The T1-weighted picture shows a mass.", "t1 weighted"),
    (BRAIN, "There is hydrocephalus.", "hydrocephalus"),
    (BLOOD, "There are three platelets and a white blood cell.", ""),
    (BLOOD, "There are five platelets.", "five"),
    (EFFUSION, "The effusion has decreased.", ""),
    (EFFUSION, "There is no pneumothorax.", ""),
    (EFFUSION, "A small pneumothorax is seen.", "pneumothorax"),
    (LABELS, "There is edema.", ""),
    (LABELS, "There is no fracture and no atelectasis.", ""),
    (LABELS, "A fracture is seen.", "fracture"),
    (LABELS, "Edema is absent.", "edema"),
]
# Not looked at while the rules were made; measured once, and then kept.
UNSEEN = [
    (PNEUMONIA, "Air bronchograms run through the consolidated lung.", ""),
    (PNEUMONIA, "The costophrenic angles are sharp.", ""),
    (PNEUMONIA, "The right-sided consolidation suggests an infectious process.", ""),
    (PNEUMONIA, "Pneumonia is seen in the right lower lobe.", "lower lobe"),
    (PNEUMONIA, "An endotracheal tube ends above the carina.", "endotracheal tube"),
    (PNEUMONIA, "The elderly patient is rotated.", "elderly"),
    (PNEUMONIA, "Compared with the prior radiograph, the lung is denser.", "compared with"),
    (PNEUMONIA, "The cardiac silhouette is enlarged.", "cardi"),
    (PNEUMONIA, "Several rounded shadows suggest spread of a tumour.", "tumour"),
    (PNEUMONIA, "The bilateral infiltrates are patchy.", "bilateral"),
    (NORMAL, "The heart, mediastinum and diaphragm are unremarkable.", ""),
    (NORMAL, "No focal consolidation, pleural effusion, or pneumothorax is present.", ""),
    (NORMAL, "Mild cardiomegaly without failure.", "cardiomegaly"),
    (NORMAL, "The bones are intact and no fracture is seen.", ""),
    (NORMAL, "Neither lung shows an opacity.", ""),
    (SKIN, "The lesion is asymmetric with several colours, as in melanoma.", ""),
    (SKIN, "Her lesion is about 6 mm wide.", "6 mm"),
    (SKIN, "The lesion has spread to the lymph nodes.", "lymph"),
    (SKIN, "The mole of a middle-aged woman has changed.", "mole"),
    (SKIN, "It is not a seborrheic keratosis.", "keratosis"),
    (COLON, "Malignant glands invade the bowel wall.", ""),
    (COLON, "Hematoxylin stains the crowded nuclei of the tumor blue.", ""),
    (COLON, "Ki-67 is high in the tumor.", "ki 67"),
    (COLON, "The gastric mucosa is replaced by glands.", "gastric"),
    (BRAIN, "The glioma measures 3.2 cm and shows high signal.", ""),
    (BRAIN, "The right hemisphere is normal.", "right"),
    (BRAIN, "Surrounding edema pushes the midline by 5 mm.", "edema"),
    (BRAIN, "After gadolinium the mass enhances.", "gadolinium"),
    (BRAIN, "The tumor has grown since the previous scan.", "has grown"),
    (BLOOD, "One white blood cell lies among the red cells.", "red cell"),
    (BLOOD, "Three platelets are near the leukocyte.", ""),
    (BLOOD, "The parasites inside the cells suggest malaria.", "malaria"),
    (EFFUSION, "The pleural effusion is smaller than in the previous study.", ""),
    (EFFUSION, "A left effusion remains.", "left"),
    (LABELS, "Pulmonary oedema with a hazy look of the lungs.", ""),
    (LABELS, "The ribs are intact.", ""),
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_trace_that_cites_the_answer_is_told(text):
    assert checks.leaks_answer(text)


@pytest.mark.parametrize("text", HONEST)
def test_a_trace_that_reasons_passes(text):
    assert checks.leaks_answer(text) == ""


@pytest.mark.parametrize("text", BOXES)
def test_a_caption_that_speaks_of_what_was_supplied_is_told(text):
    assert checks.mentions_boxes(text)


@pytest.mark.parametrize("text", CLEAN)
def test_a_caption_of_what_is_seen_passes(text):
    assert checks.mentions_boxes(text) == ""


def test_the_words_that_were_found_are_told():
    assert checks.leaks_answer("So, as  The Ground-Truth says.") == "ground-truth"
    assert checks.mentions_boxes("See the RED\u00a0box.") == "box"


@pytest.mark.parametrize(
    ("answer", "gold", "options", "right"),
    [
        ("B", "liver", ("lung", "liver"), True),
        ("B. liver", "B", ("lung", "liver"), True),
        ("A", "liver", ("lung", "liver"), False),
        ("A. liver", "liver", ("lung", "liver"), False),
        ("Yes, there is.", "yes", (), True),
        ("No", "yes", (), False),
        ("20 mm", "2 cm", (), True),
        ("3 cm", "2 cm", (), False),
        ("The mass is in the liver.", "liver", (), True),
        ("The mass is in the lung.", "liver", (), False),
        ("not the liver", "liver", (), False),
    ],
)
def test_an_answer_is_judged_as_rewards_judge_it(answer, gold, options, right):
    assert checks.consistent(answer, gold, options, question="Where is the mass?") is right


def test_a_truth_that_is_no_option_is_an_error():
    with pytest.raises(errors.UserError, match="'spleen' does not fit"):
        checks.consistent("A", "spleen", ("lung", "liver"))


@pytest.mark.parametrize(("known", "text", "flagged"), GROUNDING)
def test_what_nothing_known_supports_is_flagged(known, text, flagged):
    assert is_right(known, text, flagged), checks.ungrounded(text, known)


def is_right(known, text, flagged):
    words = [word for found in checks.ungrounded(text, known) for word in found.words]
    return any(flagged in word for word in words) if flagged else not words


def measured(cases):
    """Precision and recall of flags; a flag for another reason than the one named is a miss."""
    flags = [bool(checks.ungrounded(text, known)) for known, text, _ in cases]
    hits = sum(bool(case[2]) and is_right(*case) for case in cases)
    return hits / sum(flags), hits / sum(bool(case[2]) for case in cases)


def test_grounding_keeps_its_precision_and_recall():
    assert measured(GROUNDING) == (1.0, 1.0)
    precision, recall = measured(UNSEEN)  # 0.95 and 0.90, in 36 sentences
    missed = [case for case in UNSEEN if not is_right(*case)]
    assert precision >= 0.95, missed
    assert recall >= 0.9, missed


def test_knowing_nothing_flags_what_was_supported():
    supported = [text for known, text, flagged in GROUNDING if not flagged]
    flags = [bool(checks.ungrounded(text, "")) for text in supported]
    assert sum(flags) >= len(flags) - 1, "all but the one without any word of the list"


@pytest.mark.parametrize("known", [PNEUMONIA, NORMAL, SKIN, COLON, BRAIN, BLOOD, EFFUSION])
def test_what_is_known_supports_itself(known):
    assert checks.ungrounded(known, known) == []


def test_only_the_sentences_at_fault_are_told_in_their_own_words():
    text = "1. The opacity is dense. 2. The LEFT lung and the spleen are small.\nIt is grey."
    [found] = checks.ungrounded(text, [PNEUMONIA, "opacity"])
    assert found == ("2. The LEFT lung and the spleen are small.", ("left", "spleen"))


def test_every_word_that_is_implied_or_shown_has_a_line():
    tables = (checks_words.FINDINGS, checks_words.ANATOMY, checks_words.MODALITIES)
    names = {line.split(":")[0] for table in tables for line in table.strip().splitlines()}
    implied = checks_words.implied(names) | checks_words.shown(names) | set(checks_words.REGIONS)
    assert implied <= names
    assert len(names) > 100
