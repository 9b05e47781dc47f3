# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The text of a model card; `model_card.py` fills it in.

The code in it is run by tests, with the folder and the picture put in place.
"""

from typing import Any


def code(text: str) -> str:
    """A text as code, in which Markdown and HTML mean nothing."""
    quoted = cell(text).replace("`", "'")
    return f"`{quoted}`"


def cell(text: Any) -> str:
    """A text in one line that ends no cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


TEMPLATE = """---
{{ front_matter }}
---

# {{ name }}

{{ intro }}

**For research only. This is not a medical device: nothing that the model says may guide the care \
of a patient.**

## Model

| | |
|---|---|
{% for key, value in model %}
| {{ key }} | {{ value }} |
{% endfor %}

## Training

{% if not stages %}
None: the weights are those of the base.

{% endif %}
{% for stage in stages %}
### {{ loop.index }}. {{ stage.name }}

{% for key, value in stage.facts %}
- {{ key }}: {{ value }}
{% endfor %}

{% endfor %}
{% if stages %}
## Data

A source's digest covers its file of rows byte by byte, and the names and sizes of its media files.
A mixture's digest covers those of its sources and how they are mixed. `data.json` in the folder of
each run takes them apart.

{% for stage in stages %}
{% if stage.sources %}
{{ loop.index }}. {{ stage.name }}, mixture `{{ stage.sha256 }}`

| source | rows | dropped | used | media files | sha256 |
|---|---:|---:|---:|---:|---|
{% for row in stage.sources %}
| {{ row | join(" | ") }} |
{% endfor %}

{% else %}
{{ loop.index }}. {{ stage.name }}: the run left no `data.json`, so its data is not known.

{% endif %}
{% endfor %}
{% endif %}
## Scores

{% if scores %}
| benchmark | model | questions | strict | MedEvalKit's rules | constant | failures |
|---|---|---:|---:|---:|---:|---|
{% for row in scores %}
| {{ row | join(" | ") }} |
{% endfor %}

Shares of right answers, with 95 % Wilson intervals. "Strict" takes an answer only where it says
one thing in a form that can be read; "MedEvalKit's rules" are those of the tool that published
numbers come from. "Constant" is what the most frequent right answer of each kind would
score without a model. "Images greyed out" asks the same questions without the pictures: what stays
right needed none. {{ settings }}
{% else %}
No scores were measured.
{% endif %}

## Limits

{% for limit in limits %}
- {{ limit }}
{% endfor %}

## How it was made

With lingshu_jax {{ made_with }}.{{ " The values of each CONFIG stand under Training and Data." \
if stages }}

```
{% for command in commands %}
{{ command }}
{% endfor %}
```

## Use

With transformers 4.57 or newer; its image processor needs torchvision:

```python
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained("{{ name }}")
model = AutoModelForImageTextToText.from_pretrained("{{ name }}", dtype="auto")
content = [
    {"type": "image", "image": Image.open("picture.png")},
    {"type": "text", "text": "What does this image show?"},
]
inputs = processor.apply_chat_template(
    [{"role": "user", "content": content}],
    add_generation_prompt=True,
    tokenize=True,
    return_dict=True,
    return_tensors="pt",
)
tokens = model.generate(**inputs, max_new_tokens=64, do_sample=False)
print(processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
```

With vLLM, or `vllm serve {{ name }}` for an OpenAI-compatible server:

```python
from PIL import Image
from vllm import LLM, SamplingParams

model = LLM("{{ name }}")
content = [
    {"type": "image_pil", "image_pil": Image.open("picture.png")},
    {"type": "text", "text": "What does this image show?"},
]
sampling = SamplingParams(temperature=0, max_tokens=64)
answers = model.chat([{"role": "user", "content": content}], sampling)
print(answers[0].outputs[0].text)
```

With lingshu_jax, where `prompts.jsonl` holds one question a line:

```json
{"messages": [{"role": "user", "content": [{"type": "image", "image": "picture.png"}, \
{"type": "text", "text": "What does this image show?"}]}]}
```

```
python -m lingshu_jax.generate --model={{ name }} --input=prompts.jsonl --output=answers.jsonl \
--max_new_tokens=64
```

## Citation

```bibtex
@article{lingshu2025,
  title = {Lingshu: A Generalist Foundation Model for Unified Multimodal Medical Understanding \
and Reasoning},
  author = "{LASA Team} and Xu, Weiwen and others",
  journal = {arXiv preprint arXiv:2506.07044},
  year = {2025}
}

@article{qwen2025vl,
  title = {Qwen2.5-VL Technical Report},
  author = {Bai, Shuai and others},
  journal = {arXiv preprint arXiv:2502.13923},
  year = {2025}
}
```
"""
