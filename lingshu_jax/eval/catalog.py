# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The table of benchmarks, and how names on the command line become benchmarks."""

from pathlib import Path

from lingshu_jax.common import errors, paths
from lingshu_jax.eval import benchmark
from lingshu_jax.eval.benchmarks import (
    chexpert_plus,
    cmb,
    cmexam,
    cmmlu,
    healthbench,
    iu_xray,
    medbullets,
    medframeqa,
    medmcqa,
    medqa_mcmle,
    medqa_usmle,
    medxpertqa,
    mimic_cxr,
    mmlu_medical,
    mmmu_medical,
    omni_med_vqa,
    path_vqa,
    pmc_vqa,
    pubmedqa,
    radrestruct,
    rows,
    slake,
    supergpqa,
    vqa_rad,
)

# In the order of the paper's tables, then what came later.
BENCHMARKS: dict[str, benchmark.Benchmark] = {
    "demo_vqa": rows.Rows("demo_vqa", "vqa_test.jsonl"),
    "mmmu_medical_val": mmmu_medical.MmmuMedical(mmmu_medical.VALIDATION, "validation"),
    "mmmu_medical_test": mmmu_medical.MmmuMedical(mmmu_medical.TEST, "test"),
    "vqa_rad": vqa_rad.VqaRad(),
    "slake": slake.Slake(),
    "path_vqa": path_vqa.PathVqa(),
    "pmc_vqa": pmc_vqa.PmcVqa(),
    "omni_med_vqa": omni_med_vqa.OmniMedVqa(),
    "medxpertqa_mm": medxpertqa.MedXpertQa(medxpertqa.MM),
    "mmlu_medical": mmlu_medical.MmluMedical(),
    "pubmedqa": pubmedqa.PubMedQa(),
    "medmcqa": medmcqa.MedMcqa(),
    "medqa_usmle": medqa_usmle.MedQaUsmle(),
    "medbullets_op4": medbullets.Medbullets(medbullets.FOUR, 4),
    "medbullets_op5": medbullets.Medbullets(medbullets.FIVE, 5),
    "medxpertqa_text": medxpertqa.MedXpertQa(medxpertqa.TEXT),
    "supergpqa": supergpqa.SuperGpqa(),
    "mimic_cxr": mimic_cxr.MimicCxr(),
    "iu_xray": iu_xray.IuXray(),
    "chexpert_plus": chexpert_plus.CheXpertPlus(),
    "medframeqa": medframeqa.MedFrameQa(),
    "radrestruct": radrestruct.RadRestruct(),
    "healthbench": healthbench.HealthBench(),
    "cmb": cmb.Cmb(),
    "cmexam": cmexam.CmExam(),
    "cmmlu": cmmlu.Cmmlu(),
    "medqa_mcmle": medqa_mcmle.MedQaMcmle(),
}
GROUPS = ("paper", "multimodal", "text", "reports", "all")
ROWS_PREFIX = "rows:"
_DEMO = "demo_vqa"  # in no group


def choose(names: str, data_dir: Path | None) -> list[benchmark.Benchmark]:
    """Finds benchmarks by name.

    Args:
      names: Comma list of table names, of groups of them (`GROUPS`), of `rows:FILE`, or of NAME
        where `data_dir`/NAME.jsonl exists.
      data_dir: Folder of the data, if given; from an object store it is fetched whole.

    Raises:
      UserError: If a name is unknown or given twice; the known ones are listed.
    """
    if data_dir is not None:
        paths.fetch_once(str(data_dir))
    chosen = [
        item
        for name in names.split(",")
        if name.strip()
        for item in members(name.strip()) or [_find(name.strip(), data_dir)]
    ]
    if not chosen:
        raise errors.UserError(f"--benchmarks is empty; known: {_known()}")
    found = [item.card.name for item in chosen]
    if repeated := sorted({name for name in found if found.count(name) > 1}):
        raise errors.UserError(f"--benchmarks names {', '.join(repeated)} more than once")
    return chosen


def members(group: str) -> list[benchmark.Benchmark]:
    """The benchmarks of a group in the table's order; none where it is not one of `GROUPS`.

    Args:
      group: "paper" holds what the paper reports, "all" everything.
    """
    if group not in GROUPS:
        return []
    named = [item for name, item in BENCHMARKS.items() if name != _DEMO]
    if group == "all":
        return named
    if group == "paper":
        return [item for item in named if item.card.in_paper]
    return [item for item in named if item.card.family == group]


def load(item: benchmark.Benchmark, data_dir: Path | None) -> list[benchmark.Sample]:
    """Loads a benchmark and checks what every one must hold.

    Raises:
      UserError: If there are no samples, an id occurs twice, or a gold fits no rule.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise errors.UserError(f"--data_dir {data_dir} is not a folder")
    samples = item.load(data_dir)
    if not samples:
        raise errors.UserError(f"{item.card.name}: no rows")
    seen = set()
    for sample in samples:
        if sample.id in seen:
            raise errors.UserError(f"{item.card.name}: id {sample.id!r} occurs more than once")
        seen.add(sample.id)
        sample.check()
    return samples


def _find(name: str, data_dir: Path | None) -> benchmark.Benchmark:
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    if name.startswith(ROWS_PREFIX):
        file = name.removeprefix(ROWS_PREFIX)
        return rows.Rows(Path(file).stem, file)
    is_plain = not {"/", "\\"} & set(name)
    if is_plain and data_dir is not None and (data_dir / f"{name}.jsonl").is_file():
        return rows.Rows(name, f"{name}.jsonl")
    raise errors.UserError(
        f"unknown benchmark {name!r}; known: {_known()}, rows:FILE.jsonl"
        + (f", or the name of a .jsonl file in {data_dir}" if data_dir else "")
        + errors.suggest(name, [*BENCHMARKS, *GROUPS])
    )


def _known() -> str:
    return ", ".join([*BENCHMARKS, *GROUPS])
