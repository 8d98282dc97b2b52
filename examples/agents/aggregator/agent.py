"""Adds up what the processors counted."""

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any


def aggregate(results: list[dict[str, Any]]) -> dict[str, object]:
    counts: Counter[str] = Counter()
    for result in results:
        time.sleep(0.03)
        counts.update(result["counts"])
        print(f"chunk {result['chunk']}: {result['words']} words added", flush=True)
    print(f"{counts.total()} words in {len(results)} chunks", flush=True)
    places = {result["output_path"].rpartition("/")[0] for result in results}
    return {
        "chunks": len(results),
        "documents": sum(result["documents"] for result in results),
        "words": counts.total(),
        "top_words": dict(counts.most_common(3)),
        "output_path": f"{min(places, default='nowhere')}/summary.json",
    }


def answer(result: dict[str, object]) -> None:
    """Write the result beside its place and rename it, so that nobody reads a half of it."""
    path = Path(os.environ["AGENTAINER_RESULT_PATH"])
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(result))
    draft.rename(path)


answer(aggregate(json.loads(os.environ["RESULTS"])))
