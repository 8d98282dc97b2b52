"""Pretends to fetch the data set named by SOURCE and says where it put it."""

import hashlib
import json
import os
import time
from pathlib import Path

PARTS = 4


def fetch(source: str) -> dict[str, object]:
    digest = hashlib.sha256(source.encode())
    for part in range(1, PARTS + 1):
        time.sleep(0.06)
        digest.update(str(part).encode())
        print(f"fetched part {part} of {PARTS} from {source}", flush=True)
    return {
        "source": source,
        "parts": PARTS,
        "output_path": f"{source.rstrip('/')}/fetched-{digest.hexdigest()[:8]}",
    }


def answer(result: dict[str, object]) -> None:
    """Write the result beside its place and rename it, so that nobody reads a half of it."""
    path = Path(os.environ["AGENTAINER_RESULT_PATH"])
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(result))
    draft.rename(path)


answer(fetch(os.environ["SOURCE"]))
