# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Medical texts that the paper names (its Table 2)."""

from data_tools import registry_entry

_O1 = (
    "Chen et al., HuatuoGPT-o1, Towards Medical Complex Reasoning with LLMs, 2024, arXiv 2412.18925"
)
_CHATDOCTOR = (
    "Li et al., ChatDoctor: A Medical Chat Model Fine-Tuned on a Large Language Model Meta-AI"
    " (LLaMA) Using Medical Domain Knowledge, Cureus 15, 2023"
)
_HUB = "https://huggingface.co/datasets/"
ENTRIES = (
    registry_entry.Entry(
        key="medqa",
        title="MedQA (USMLE)",
        about="training questions of US licensing examinations with five options",
        paper="MedQA",
        table="text",
        address="https://github.com/jind11/MedQA",
        licence="MIT",
        citation=(
            "Jin et al., What Disease does this Patient Have? A Large-scale Open Domain Question"
            " Answering Dataset from Medical Exams, Applied Sciences 11, 2021"
        ),
        files=("questions/US/train.jsonl",),
        format="medqa",
        kind="text",
        group="medical_text",
        schema="the same file's test split (question, answer, options, meta_info, answer_idx)",
    ),
    registry_entry.Entry(
        key="medquad",
        title="MedQuAD",
        about="questions and answers of NIH pages; 16,407 come with their answer",
        paper="MedQuAD",
        table="text",
        address="https://github.com/abachaa/MedQuAD",
        licence="CC-BY-4.0",
        citation=(
            "Ben Abacha and Demner-Fushman, A Question-Entailment Approach to Question Answering,"
            " BMC Bioinformatics 20, 2019"
        ),
        files=("*_QA/*.xml",),
        format="medquad",
        kind="text",
        group="medical_text",
        schema="abachaa/MedQuAD@7e94c7b 1_CancerGov_QA/0000001_1.xml",
    ),
    registry_entry.Entry(
        key="apollo_corpus",
        title="ApolloCorpus",
        about="medical instructions in six languages, exam questions among them",
        paper="ApolloCorpus",
        table="text",
        repository="FreedomIntelligence/ApolloCorpus",
        address=f"{_HUB}FreedomIntelligence/ApolloCorpus",
        licence="Apache-2.0",
        citation=(
            "Wang et al., Apollo: Lightweight Multilingual Medical LLMs towards Democratizing"
            " Medical AI to 6B People, 2024, arXiv 2403.03640"
        ),
        files=("train/sft/*.json",),
        format="apollo_corpus",
        kind="text",
        group="medical_text",
        schema="the hub's tree of FreedomIntelligence/ApolloCorpus; rows in public code",
        unchecked="form of the rows: lists of question and answer in public code that reads them",
    ),
    registry_entry.Entry(
        key="pmc_llama",
        title="PMC-LLaMA instructions",
        about="513,999 instructions made of MedQA, MedMCQA, PubMedQA, UMLS and others",
        paper="PMC-LLaMA",
        table="text",
        repository="axiong/pmc_llama_instructions",
        revision="5142689a3888786db7d376e60c16c5c1e7201191",
        address=f"{_HUB}axiong/pmc_llama_instructions",
        licence="openrail (the hub's tag; which variant is not stated)",
        citation=(
            "Wu et al., PMC-LLaMA: toward building open-source language models for medicine, JAMIA"
            " 31, 2024, arXiv 2304.14454"
        ),
        files=("release.json",),
        format="pmc_llama",
        kind="text",
        group="medical_text",
        schema="the hub's tree at 5142689 (source, instruction, input, output, sample_id)",
    ),
    registry_entry.Entry(
        key="medthoughts_8k",
        title="MedThoughts-8K",
        about="7,716 MedQA training questions with the reasoning of DeepSeek-R1",
        paper="MedThoughts-8K",
        table="text",
        repository="hw-hwei/MedThoughts-8K",
        address=f"{_HUB}hw-hwei/MedThoughts-8K",
        licence="GPL-3.0",
        citation="Wei, MedThoughts-8K, Hugging Face, 2025",
        files=("MedThoughts-8K.jsonl",),
        format="medthoughts_8k",
        kind="text",
        group="reasoning",
        schema="the hub's data card hw-hwei/MedThoughts-8K, README_ZH.md",
    ),
    registry_entry.Entry(
        key="medreason",
        title="MedReason",
        about="32,682 medical questions with reasoning along a knowledge graph",
        paper="MedReason",
        table="text",
        repository="UCSC-VLAA/MedReason",
        revision="7fc0ddb80653c839be359ac4496ec6ee00bdd52f",
        address=f"{_HUB}UCSC-VLAA/MedReason",
        licence=registry_entry.NOT_STATED,
        citation=(
            "Wu et al., MedReason: Eliciting Factual Medical Reasoning Steps in LLMs via Knowledge"
            " Graphs, 2025, arXiv 2504.00993"
        ),
        files=("ours_quality_33000.jsonl",),
        format="medreason",
        kind="text",
        group="reasoning",
        schema="keys question, options, reasoning, answer in public code that reads them",
        unchecked="licence and keys: the data card was not at hand",
    ),
    registry_entry.Entry(
        key="medical_o1_reasoning_sft",
        title="medical-o1-reasoning-SFT",
        about="medical questions in English and Chinese with reasoning of a larger model",
        paper="medical-o1-reasoning-SFT",
        table="text",
        repository="FreedomIntelligence/medical-o1-reasoning-SFT",
        revision="fc2c9e8a37b38f38da6d449564a8c350b244aef4",
        address=f"{_HUB}FreedomIntelligence/medical-o1-reasoning-SFT",
        licence="Apache-2.0",
        citation=_O1,
        files=("medical_o1_sft.json", "medical_o1_sft_Chinese.json"),
        format="medical_o1_reasoning_sft",
        kind="text",
        group="reasoning",
        schema="the hub's tree at fc2c9e8; keys Question, Complex_CoT, Response in public code",
    ),
    registry_entry.Entry(
        key="medical_o1_verifiable_problem",
        title="medical-o1-verifiable-problem",
        about="40,600 open medical questions with short answers that can be checked",
        paper="medical-o1-verifiable-problem",
        table="text",
        repository="FreedomIntelligence/medical-o1-verifiable-problem",
        address=f"{_HUB}FreedomIntelligence/medical-o1-verifiable-problem",
        licence="Apache-2.0",
        citation=_O1,
        files=("medical_o1_verifiable_problem.json",),
        format="medical_o1_verifiable_problem",
        kind="text",
        group="medical_text",
        schema='"Open-ended Verifiable Question", "Ground-True Answer" in public code',
        unchecked="licence: that of its sister sets; its own card was not at hand",
    ),
    registry_entry.Entry(
        key="medical_r1_distill",
        title="Medical-R1-Distill-Data",
        about="22,000 verifiable medical questions with reasoning of DeepSeek-R1",
        paper="Medical-R1-Distill-Data",
        table="text",
        repository="FreedomIntelligence/Medical-R1-Distill-Data",
        address=f"{_HUB}FreedomIntelligence/Medical-R1-Distill-Data",
        licence="Apache-2.0",
        citation=_O1,
        files=("*.json",),
        format="medical_r1_distill",
        kind="text",
        group="reasoning",
        schema='question, "reasoning (reasoning_content)", "response (content)" in public code',
        unchecked="names of the files: every .json of the folder is read",
    ),
    registry_entry.Entry(
        key="healthcaremagic",
        title="HealthCareMagic-100k",
        about="112,000 questions of patients with answers of physicians; the paper rewrites them",
        paper="HealthCareMagic-100k",
        table="text",
        repository="lavita/ChatDoctor-HealthCareMagic-100k",
        address="https://github.com/Kent0n-Li/ChatDoctor",
        licence=registry_entry.NOT_STATED,
        terms="open, for academic research alone; collected from a website",
        citation=_CHATDOCTOR,
        files=("HealthCareMagic-100k.json", "data/train-*.parquet"),
        format="healthcaremagic",
        kind="text",
        group="medical_text",
        schema="Kent0n-Li/ChatDoctor@0383cad README.md; instruction, input, output in public code",
    ),
    registry_entry.Entry(
        key="icliniq",
        title="icliniq-10k",
        about="7,300 questions of patients with answers of physicians; the paper rewrites them",
        paper="icliniq-10k",
        table="text",
        repository="lavita/ChatDoctor-iCliniq",
        address="https://github.com/Kent0n-Li/ChatDoctor",
        licence=registry_entry.NOT_STATED,
        terms="open, for academic research alone; collected from a website",
        citation=_CHATDOCTOR,
        files=("iCliniq.json", "data/train-*.parquet"),
        format="icliniq",
        kind="text",
        group="medical_text",
        schema="input, answer_icliniq, answer_chatgpt, answer_chatdoctor in public code",
    ),
    registry_entry.Entry(
        key="huatuogpt2_gpt4",
        title="HuatuoGPT2-SFT-GPT4-140K",
        about="140,000 medical questions in Chinese with answers by GPT-4",
        paper="HuatuoGPT-II-GPT4-SFT-140K",
        table="text",
        repository="FreedomIntelligence/HuatuoGPT2-SFT-GPT4-140K",
        revision="4077ffaeb123e49b8b8a0283f42957a5570a52ce",
        address=f"{_HUB}FreedomIntelligence/HuatuoGPT2-SFT-GPT4-140K",
        licence="Apache-2.0",
        citation=(
            "Chen et al., HuatuoGPT-II, One-stage Training for Medical Adaption of LLMs, 2023,"
            " arXiv 2311.09774"
        ),
        files=("HuatuoGPT2-GPT4-SFT-140K.json",),
        format="llava",
        kind="text",
        group="medical_text",
        schema="the hub's tree at 4077ffa; conversations of from and value in public code",
    ),
    registry_entry.Entry(
        key="alpacare",
        title="AlpaCare-MedInstruct-52k",
        about="52,000 medical instructions by GPT-4 with answers by GPT-3.5",
        paper="AlpaCare-MedInstruct-52k",
        table="text",
        repository="lavita/AlpaCare-MedInstruct-52k",
        address="https://github.com/XZhang97666/AlpaCare",
        licence=registry_entry.NOT_STATED,
        citation=(
            "Zhang et al., AlpaCare: Instruction-tuned Large Language Models for Medical"
            " Application, 2023, arXiv 2310.14558"
        ),
        files=("data/MedInstruct-52k.json", "data/train-*.parquet"),
        format="alpacare",
        kind="text",
        group="medical_text",
        schema="XZhang97666/AlpaCare@08d7c7c README.md (instruction, input, output)",
    ),
)
