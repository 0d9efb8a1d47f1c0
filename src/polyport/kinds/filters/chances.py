"""Filters that make something random of a seed. They are as pure as all others: the same seed gives the same; the chance is in ``{{random.seed}}``, new in every run.

Each kind of result takes its own stream of SHAKE-256 over the seed, so that nothing of one shows in another.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping
from typing import Any, Final

from polyport.kinds.filters.limits import argument_of, bytes_of, choice_of, list_of, whole_number_of
from polyport.template import Filter, RenderFault

NUMBER_LIMIT: Final = 10**18
LENGTH_LIMIT: Final = 1_000
_SPARE_BYTES: Final = 8  # more than the range needs, so that what a remainder prefers stays below one in 2**64
_ALPHABETS: Final[Mapping[str, str]] = {
    "letters_digits": string.ascii_letters + string.digits,
    "letters": string.ascii_letters,
    "small_letters_digits": string.ascii_lowercase + string.digits,
    "digits": string.digits,
    "hex": "0123456789abcdef",
    "readable": "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789",
}


def random_number(value: Any, least: Any = 0, most: Any = 100) -> int:
    """A whole number between two others, both of them possible, each as likely as any other, of a seed.

    Arguments: the smallest and the largest, from -10**18 to 10**18. ``{{"seed" | random_number: 7, 7}}`` gives ``7``.
    """
    first = whole_number_of(least, least=-NUMBER_LIMIT, most=NUMBER_LIMIT)
    last = whole_number_of(most, least=-NUMBER_LIMIT, most=NUMBER_LIMIT)
    if first > last:
        raise RenderFault("the smallest number is larger than the largest")
    return first + _Stream("number", value, 1).below(last - first + 1)


def random_text(value: Any, length: Any = 16, alphabet: Any = "letters_digits") -> str:
    """A text of random characters of a seed.

    Arguments: how many (at most 1,000), and of which alphabet: letters_digits, letters, small_letters_digits, digits, hex, or readable (letters and digits that are
    not mistaken for each other). ``{{"seed" | random_text: 3, "letters" | length}}`` gives ``3``.
    """
    count = whole_number_of(length, least=1, most=LENGTH_LIMIT)
    letters = choice_of(alphabet, _ALPHABETS, "alphabet")
    stream = _Stream("text", value, count)
    return "".join(letters[stream.below(len(letters))] for _ in range(count))


def shuffle(value: Any, seed: Any) -> list[Any]:
    """The elements of a list in a random order, each order as likely as any other. The first of them is a random choice.

    Argument: the seed. ``{{items | shuffle: "seed" | sort}}`` gives ``["a", "b", "b"]``.
    """
    elements = list(list_of(value))
    stream = _Stream("order", seed, len(elements))
    for place in range(len(elements) - 1, 0, -1):
        other = stream.below(place + 1)
        elements[place], elements[other] = elements[other], elements[place]
    return elements


class _Stream:
    """Random numbers of a seed, a bounded count of them."""

    def __init__(self, purpose: str, seed: Any, count: int) -> None:
        self._digest = hashlib.shake_256(f"{purpose}\0".encode() + bytes_of(argument_of(seed))).digest(2 * _SPARE_BYTES * count)
        self._position = 0

    def below(self, bound: int) -> int:
        chunk = self._digest[self._position : self._position + 2 * _SPARE_BYTES]
        self._position += 2 * _SPARE_BYTES
        return int.from_bytes(chunk) % bound


CHANCES: Final[dict[str, Filter]] = {"random_number": random_number, "random_text": random_text, "shuffle": shuffle}
