"""Random pieces: none is handed out twice, by threads or by processes that were copied."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

from polyport import chance


def test_no_piece_is_handed_out_twice_whoever_asks():
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: chance.piece(), range(5_000)))
    assert {len(piece) for piece in found} == {chance.PIECE}
    assert len(set(found)) == len(found)


def test_a_copy_of_the_process_draws_its_own():
    chance.piece()
    waiting = list(chance._ready)
    reader, writer = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if not child:
        writer.send_bytes(b"".join(chance.piece() for _ in range(300)))
        os._exit(0)
    drawn = reader.recv_bytes()
    os.waitpid(child, 0)
    assert waiting
    assert not {drawn[start : start + chance.PIECE] for start in range(0, len(drawn), chance.PIECE)} & set(waiting)
