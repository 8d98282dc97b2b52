"""Counts the words of one chunk of a data set.

The data set is made up: the same INPUT and CHUNK always give the same documents.
"""

import json
import os
import random
import time
from collections import Counter
from pathlib import Path

DOCUMENTS = 200
WORDS = ("agent", "append", "claim", "event", "fold", "log", "pause", "queue", "replay", "workflow")


def documents(path: str, chunk: str) -> list[list[str]]:
    dice = random.Random(f"{path}#{chunk}")  # noqa: S311 -- the same every time
    return [dice.choices(WORDS, k=dice.randint(20, 80)) for _ in range(DOCUMENTS)]


def process(path: str, chunk: str) -> dict[str, object]:
    counts: Counter[str] = Counter()
    print(f"chunk {chunk}: {DOCUMENTS} documents of {path}", flush=True)
    for number, words in enumerate(documents(path, chunk), 1):
        counts.update(words)
        if number % (DOCUMENTS // 4) == 0:
            time.sleep(0.06)
            print(f"chunk {chunk}: {number} of {DOCUMENTS} documents counted", flush=True)
    return {
        "chunk": chunk,
        "documents": DOCUMENTS,
        "words": counts.total(),
        "counts": dict(sorted(counts.items())),
        "output_path": f"{path}/chunk-{chunk}",
    }


def answer(result: dict[str, object]) -> None:
    """Write the result beside its place and rename it, so that nobody reads a half of it."""
    path = Path(os.environ["AGENTAINER_RESULT_PATH"])
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(result))
    draft.rename(path)


answer(process(os.environ["INPUT"], os.environ["CHUNK"]))
