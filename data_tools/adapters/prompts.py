# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked for a caption: two lists of our own wording, one for each length of caption.

The paper (arXiv 2506.07044, 3.1) says that captions are trained on as answers to instructions and
does not say which.
"""

import hashlib

LONG_WORDS = 40  # a caption of as many words answers a prompt that asks for details
SHORT = (
    "What does this picture show?",
    "Describe this picture briefly.",
    "Say in a sentence or two what can be seen here.",
    "Give this picture a short caption.",
    "Sum up what the picture shows.",
    "In a few words, what is this a picture of?",
    "Write a brief description of the picture.",
    "What is there to see in this medical picture?",
    "Which caption fits this picture?",
    "State in short what this picture is about.",
)
LONG = (
    "Describe this picture in detail.",
    "Explain carefully what can be seen in this picture.",
    "Write a full description of the picture.",
    "Go through this picture and describe everything of medical interest.",
    "What does this picture show? Please be thorough.",
    "Give a detailed account of the findings in this picture.",
    "Describe the structures in this picture and what is remarkable about them.",
    "Look closely at the picture and report all that it shows.",
    "Give a complete description of this medical picture.",
    "Describe at length what this picture shows and where.",
)


def for_caption(key: str, caption: str) -> str:
    """What is asked for a caption; the same row is always asked the same.

    Args:
      key: Of the row.
      caption: Its length chooses the list.
    """
    known = LONG if len(caption.split()) >= LONG_WORDS else SHORT
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return known[int.from_bytes(digest[:8], "big") % len(known)]
