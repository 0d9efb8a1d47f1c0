"""Secrets at rest: AES-256-GCM in an envelope, bound to whom it belongs to and to what it is.

A master key (``Keyring``) wraps data keys; a data key seals values. Both are bound by associated data::

    wrapped key   version 1 | key id 8 | nonce 12 | 32 bytes of key + 16 of tag       bound to the scope
    sealed value  version 1 | nonce 12 | ciphertext + 16 of tag                       bound to the scope and the context

The *scope* says whose data key it is (``"account/7"``, ``"account/7/connection/12"``), the *context* what the value is
(``"fields"``, ``"run/run_x/input"``). A value that was moved to another account, connection or field does not open.
Nonces are random: one data key is good for 2**32 values. Nothing here shows a key or a value, in reprs or in errors.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from polyport.chance import PIECE, piece
from polyport.errors import SetupError

KEY_SIZE: Final = 32

_VERSION: Final = b"\x01"
_ID_SIZE: Final = 8
_NONCE_SIZE: Final = PIECE
# An empty name binds to nothing: that is a mistake of the caller, found on its first run.
_NAMELESS: Final = "a {} is needed: it binds the value to its place"
_TAG_SIZE: Final = 16
_WRAPPED_SIZE: Final = 1 + _ID_SIZE + _NONCE_SIZE + KEY_SIZE + _TAG_SIZE
_SEALED_MINIMUM: Final = 1 + _NONCE_SIZE + _TAG_SIZE
_HINT: Final = "Make one with: openssl rand -base64 32"


class VaultFault(Exception):
    """A sealed value or a wrapped key cannot be opened."""


class UnknownKey(VaultFault):
    """The master key that wrapped a data key is not on the ring. ``key_id`` is its id in hex."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"Master key {key_id} is needed and is not among the keys of this server: put it back into the key file, or into POLYPORT_MASTER_KEY."
        )
        self.key_id = key_id


class Tampered(VaultFault):
    """The bytes were changed or cut, or belong to another scope or context, or were written by a newer version."""


class Keyring:
    """The master keys by id. The first one seals, all of them open. A key's id is a hash of it and may be shown."""

    __slots__ = ("_ciphers", "_first")

    def __init__(self, *keys: bytes) -> None:
        """``keys`` are 32 bytes each, all different, at least one; ``SetupError`` otherwise."""
        if not keys:
            raise SetupError(f"There is no master key. {_HINT}")
        self._ciphers: dict[bytes, AESGCM] = {}
        for place, key in enumerate(keys, 1):
            if len(key) != KEY_SIZE:
                raise SetupError(f"Master key {place} is not 32 bytes long. {_HINT}")
            key_id = hashlib.sha256(b"polyport-key-id" + key).digest()[:_ID_SIZE]
            if key_id in self._ciphers:
                raise SetupError(f"Master key {place} is there twice: give each key once.")
            self._ciphers[key_id] = AESGCM(key)
        self._first = next(iter(self._ciphers))

    @classmethod
    def parse(cls, text: str, source: str = "POLYPORT_MASTER_KEY") -> Keyring:
        """The ring of comma-separated keys, each 32 bytes in base64 (standard or URL-safe, with or without padding).

        ``source`` names in errors where the text is from. Raises ``SetupError`` that never repeats the text.
        """
        keys = []
        for place, part in enumerate(text.split(","), 1):
            try:
                # A length that is no multiple of four is filled up; any character outside the alphabet is refused.
                bare = part.strip().rstrip("=").translate(_TO_STANDARD)
                key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
            except ValueError:
                key = b""
            if len(key) != KEY_SIZE:
                raise SetupError(f"{source}: key {place} is not 32 bytes in base64. {_HINT}")
            keys.append(key)
        return cls(*keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys in hex, the sealing one first."""
        return tuple(key_id.hex() for key_id in self._ciphers)

    def led_by(self, key_id: str) -> Self:
        """The same keys with another one in front: that one seals. Raises ``UnknownKey``."""
        first = bytes.fromhex(key_id)
        if first not in self._ciphers:
            raise UnknownKey(key_id)
        ring = object.__new__(type(self))
        ring._ciphers = {first: self._ciphers[first], **self._ciphers}
        ring._first = first
        return ring

    def wrap(self, scope: bytes, key: bytes) -> bytes:
        """A data key under the first master key, bound to ``scope``."""
        header = _VERSION + self._first
        nonce = piece()
        return header + nonce + self._ciphers[self._first].encrypt(nonce, key, b"polyport-key" + header + scope)

    def unwrap(self, scope: bytes, wrapped: bytes) -> bytes:
        """The data key inside; raises ``UnknownKey`` or ``Tampered``."""
        key_id = _key_id(wrapped)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise UnknownKey(key_id.hex())
        start = 1 + _ID_SIZE
        nonce = wrapped[start : start + _NONCE_SIZE]
        try:
            return cipher.decrypt(nonce, wrapped[start + _NONCE_SIZE :], b"polyport-key" + wrapped[:start] + scope)
        except InvalidTag:
            raise Tampered("A data key was changed, or belongs to another account or connection.") from None

    def __repr__(self) -> str:
        return "<Keyring>"


class Box:
    """A data key that is ready for use: seals and opens values of one scope. Made by ``Vault.box``."""

    __slots__ = ("_cipher", "_scope")

    def __init__(self, scope: bytes, cipher: AESGCM) -> None:
        self._scope = struct.pack(">BI", _VERSION[0], len(scope)) + scope
        self._cipher = cipher

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """The value in a form that may be stored: 29 bytes longer, and different each time."""
        if not context:
            raise ValueError(_NAMELESS.format("context"))
        nonce = piece()
        return _VERSION + nonce + self._cipher.encrypt(nonce, plaintext, self._scope + context.encode("utf-8", "surrogatepass"))

    def open(self, sealed: bytes, context: str) -> bytes:
        """The value that was sealed with this very context; raises ``Tampered``."""
        if len(sealed) < _SEALED_MINIMUM or sealed[:1] != _VERSION:
            raise Tampered("A sealed value was cut, or written by a newer version.")
        nonce = sealed[1 : 1 + _NONCE_SIZE]
        try:
            return self._cipher.decrypt(nonce, sealed[1 + _NONCE_SIZE :], self._scope + _name(context, "context"))
        except InvalidTag:
            raise Tampered("A sealed value was changed, or belongs somewhere else.") from None

    def __repr__(self) -> str:
        return "<Box>"


class Vault:
    """Makes data keys and hands out the boxes that use them. Safe to share between threads.

    The ``cached`` boxes used last are kept unwrapped in memory. ``news`` gives the keys of a file that changed, and is asked before anything is wrapped
    and whenever a key is unknown: a new master key needs no restart.
    """

    __slots__ = ("_boxes", "_cached", "_keyring", "_lock", "_news", "_sealing")

    def __init__(self, keyring: Keyring, *, cached: int = 1024, news: Callable[[], Keyring | None] | None = None) -> None:
        self._keyring = keyring
        self._sealing = keyring.ids[0]
        self._news = news
        self._cached = cached
        self._boxes: OrderedDict[tuple[str, bytes], Box] = OrderedDict()
        self._lock = Lock()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the master keys on the ring, in hex; the first seals."""
        return self._keyring.ids

    def seal_with(self, key_id: str) -> None:
        """From now on wrap with this master key; one that is not on the ring takes its place once it is there."""
        self._sealing = key_id
        self._take(self._keyring)

    def follow(self) -> None:
        """Take over the keys of a file that changed. Where it cannot be read, the keys stay what they are."""
        found = self._news() if self._news is not None else None
        if found is not None:
            self._take(found)

    def _take(self, keyring: Keyring) -> None:
        self._keyring = keyring.led_by(self._sealing) if self._sealing in keyring.ids else keyring

    def new_key(self, scope: str) -> bytes:
        """A fresh data key, wrapped for ``scope``: 69 bytes to store beside the data it will seal."""
        self.follow()
        return self._keyring.wrap(_name(scope, "scope"), os.urandom(KEY_SIZE))

    def box(self, scope: str, wrapped: bytes) -> Box:
        """The box of a wrapped data key; raises ``UnknownKey`` or ``Tampered``."""
        place = (scope, wrapped)
        with self._lock:
            box = self._boxes.get(place)
            if box is not None:
                self._boxes.move_to_end(place)
                return box
        name = _name(scope, "scope")
        box = Box(name, AESGCM(self._unwrap(name, wrapped)))
        with self._lock:
            self._boxes[place] = box
            if len(self._boxes) > self._cached:
                self._boxes.popitem(last=False)
        return box

    def rewrap(self, scope: str, wrapped: bytes) -> bytes:
        """The same data key under the first master key (rotation): what it sealed stays as it is.

        Returns ``wrapped`` itself when that is its key already. Raises ``UnknownKey`` or ``Tampered``.
        """
        name = _name(scope, "scope")
        key = self._unwrap(name, wrapped)
        if key_id_of(wrapped) == self._keyring.ids[0]:
            return wrapped
        return self._keyring.wrap(name, key)

    def _unwrap(self, scope: bytes, wrapped: bytes) -> bytes:
        try:
            return self._keyring.unwrap(scope, wrapped)
        except UnknownKey:
            self.follow()
        return self._keyring.unwrap(scope, wrapped)

    def forget(self, scope: str) -> None:
        """Drop the unwrapped keys of a scope and of all scopes below it (``account/7`` and ``account/7/...``).

        Once its wrapped key is deleted too, what it sealed can never be read again.
        """
        below = scope + "/"
        with self._lock:
            for place in [place for place in self._boxes if place[0] == scope or place[0].startswith(below)]:
                del self._boxes[place]

    def __repr__(self) -> str:
        return "<Vault>"


def key_id_of(wrapped: bytes) -> str:
    """The id, in hex, of the master key that wrapped this data key; raises ``Tampered`` if it is no wrapped key."""
    return _key_id(wrapped).hex()


def _key_id(wrapped: bytes) -> bytes:
    if len(wrapped) != _WRAPPED_SIZE or wrapped[:1] != _VERSION:
        raise Tampered("A data key was cut, or written by a newer version.")
    return wrapped[1 : 1 + _ID_SIZE]


def _name(text: str, what: str) -> bytes:
    if not text:
        raise ValueError(_NAMELESS.format(what))
    return text.encode("utf-8", "surrogatepass")


_TO_STANDARD: Final = str.maketrans("-_", "+/")
