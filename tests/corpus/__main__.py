"""Every document of the corpus, imported and tried: see docs/reference/imports.md for what is counted."""

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
from corpus.table import lines_of, page_of, row_of, short_of


def main() -> int:
    """0 where the targets are met, 1 where not, 2 where there is nothing to try."""
    parser = argparse.ArgumentParser(prog="make corpus", description=__doc__)
    parser.add_argument("--inputs", type=int, default=3, help="inputs that each operation is tried with")
    parser.add_argument("--most", type=int, default=None, help="operations of each document, from all over it; all if not given")
    parser.add_argument(
        "--only", nargs="*", default=[], help="documents by a part of their path, NAME=OPERATION,OPERATION for some operations"
    )
    parser.add_argument("--jobs", type=int, default=1, help="documents that are tried at the same time")
    parser.add_argument("--json", type=Path, default=None, help="file for the whole table, for programs")
    parser.add_argument("--page", type=Path, default=None, help="file for the page of the documentation")
    asked = parser.parse_args()
    wanted = _wanted(Path(os.environ.get("POLYPORT_CORPUS", "nowhere")), asked.only)
    if not wanted:
        _say("POLYPORT_CORPUS names no folder with descriptions: nothing is tried.")
        return 2
    proofs: list[Proof] = []
    with ProcessPoolExecutor(max_workers=asked.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for waiting in [pool.submit(prove, path, name, asked.inputs, only, asked.most) for path, name, only in wanted]:
            proofs.append(waiting.result())
            _say(_line(proofs[-1]))
            if asked.json is not None:
                asked.json.write_text(json.dumps([row_of(proof) for proof in proofs], indent=1, ensure_ascii=False) + "\n")
    for line in lines_of(proofs):
        _say(line)
    if asked.page is not None:
        asked.page.write_text(page_of(proofs, asked.inputs, asked.most))
    short = short_of(proofs)
    for line in short:
        _say(f"SHORT: {line}")
    return 1 if short else 0


def _wanted(corpus: Path, only: list[str]) -> list[tuple[Path, str, frozenset[str]]]:
    parts = dict(one.partition("=")[::2] for one in only)
    found = []
    for path in corpus_files(corpus):
        name = path.relative_to(corpus).as_posix()
        fits = [operations for part, operations in parts.items() if part in name]
        if fits or not parts:
            found.append((path, name, frozenset(filter(None, ",".join(fits).split(",")))))
    return found


def _line(proof: Proof) -> str:
    row = row_of(proof)
    if why := proof.refused or proof.crash or proof.mock[-400:]:
        return f"{proof.name}: {why}"
    broken = row["broken"]
    return (
        f"{proof.name}: {row['accepted']} of {row['tried']} accepted, {len(row['mockErrs'])} mock errs, {row['called']} called, {row['withJson']} with JSON, "
        f"{broken['refused']} of {broken['tried']} changed inputs refused, through: {broken['letThrough'] or 'none'} ({proof.seconds} s)"
    )


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  a program that prints


if __name__ == "__main__":
    sys.exit(main())
