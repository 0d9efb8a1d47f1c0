"""Auth kinds: an open set, one behaviour a file. ``Scheme`` is what a partner's file may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from polyport.kinds.auth.certificate import ClientCertificate
from polyport.kinds.auth.jwt import Jwt, JwtBearer
from polyport.kinds.auth.oauth1 import OAuth1
from polyport.kinds.auth.oauth2 import OAuth2
from polyport.kinds.auth.session import Session
from polyport.kinds.auth.signature import RequestSignature
from polyport.kinds.auth.sigv4 import SigV4
from polyport.kinds.auth.static import ApiKey, Basic, Bearer, NoAuth

Scheme = Annotated[
    NoAuth | ApiKey | Bearer | Basic | OAuth2 | Session | Jwt | JwtBearer | RequestSignature | OAuth1 | SigV4 | ClientCertificate,
    Field(discriminator="kind"),
]
