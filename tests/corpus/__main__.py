"""Every document of the corpus, imported and tried: ``python -m corpus``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from corpus.documents import corpus_files
from corpus.proof import Proof, prove


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=3, help="inputs that each operation is tried with")
    parser.add_argument("--only", nargs="*", default=[], help="documents by a part of their path, NAME=OPERATION for one operation")
    parser.add_argument("--most", type=int, default=None, help="operations of each document, from all over it; all if not given")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="folder for what came of each document, as JSON")
    asked = parser.parse_args()
    corpus = Path(os.environ.get("POLYPORT_CORPUS", "nowhere"))
    parts = dict(one.partition("=")[::2] for one in asked.only)
    wanted = []
    for path in corpus_files(corpus):
        name = path.relative_to(corpus).as_posix()
        fits = [operation for part, operation in parts.items() if part in name]
        if fits or not parts:
            wanted.append((path, name, asked.inputs, frozenset(fits[0].split(",")) if fits and fits[0] else frozenset(), asked.most))
    with ProcessPoolExecutor(max_workers=asked.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for proof in pool.map(prove, *zip(*wanted, strict=True)):
            say(proof)
            if asked.out is not None:
                asked.out.mkdir(exist_ok=True)
                (asked.out / (proof.name.replace("/", "__") + ".json")).write_text(json.dumps(proof.told(), indent=1, default=str))
    return 0


def say(proof: Proof) -> None:
    made = proof.outcomes
    print(  # noqa: T201  a program that prints
        f"{proof.name}: {proof.refused[:60]}{proof.crash}{proof.mock[-300:]} {proof.seconds}s n={proof.described} json={proof.with_json} tried={len(made)} "
        f"accepted={sum(o.is_accepted for o in made)} mock_errs={sum(bool(o.mock_errs) and not o.refused and not o.unsent for o in made)} callable={sum(o.is_callable for o in made)} judged={sum(bool(o.judged) for o in made)} notes={sum(bool(o.notes) for o in made)} read={sum(o.read == o.tried for o in made)}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
