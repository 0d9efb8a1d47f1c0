"""A small description with the shapes that matter, and what comes of it."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import yaml

from polyport.importers.documents import read_document
from polyport.importers.partner import Built, Wanted, build
from polyport.importers.run import Import, Imported, import_document

PETS: dict[str, Any] = yaml.safe_load(
    """
openapi: 3.0.3
info: {title: Pets, version: "1.2", description: All pets}
servers: [{url: "https://{tenant}.pets.example/v1", variables: {tenant: {default: acme}}}]
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key}
  schemas:
    Pet:
      type: object
      required: [name, kind]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string, minLength: 2}
        kind: {type: string, enum: [cat, dog]}
        born: {type: string, format: date}
        owner: {type: object, required: [email], properties: {email: {type: string, format: email}, address: {type: object, properties: {city: {type: string}}}}}
        tags: {type: array, minItems: 1, items: {type: string}}
        children: {type: array, items: {$ref: "#/components/schemas/Pet"}}
        labels: {type: object, additionalProperties: {type: string}}
        food:
          oneOf:
            - {title: Dry, type: object, required: [grams], properties: {grams: {type: integer}}}
            - {title: Wet, type: object, properties: {tins: {type: integer}}}
        created_at: {type: string, format: date-time, readOnly: true}
security: [{key: []}]
paths:
  /pets:
    get:
      operationId: listPets
      parameters: [{name: page, in: query, schema: {type: integer}}, {name: per_page, in: query, schema: {type: integer, maximum: 50}}]
      responses:
        "200":
          description: ok
          content: {application/json: {schema: {type: object, properties: {data: {type: array, items: {$ref: "#/components/schemas/Pet"}}}}}}
    post:
      operationId: createPet
      summary: Add a pet
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}
      responses: {"201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}}
  /pets/{pet_id}:
    delete:
      parameters: [{name: pet_id, in: path, required: true, schema: {type: integer}}]
      responses: {"204": {description: gone}}
"""
)
TODAY = date(2026, 11, 24)


def pets(**changes: Any) -> dict[str, Any]:
    """The description; ``changes`` replace parts of its top level."""
    return copy.deepcopy(PETS) | changes


def with_path(path: str, item: dict[str, Any]) -> dict[str, Any]:
    """The description with one more path."""
    found = pets()
    found["paths"][path] = item
    return found


def taking(schema: Any, media: str = "application/json", **more: Any) -> dict[str, Any]:
    """A description with one operation that takes a body of this schema."""
    body = {"required": True, "content": {media: {"schema": schema}}} | more
    return {
        "openapi": "3.1.0",
        "info": {"title": "One", "version": "1"},
        "servers": [{"url": "https://one.example"}],
        "paths": {"/things": {"post": {"operationId": "make", "requestBody": body, "responses": {}}}},
    }


def built(document: dict[str, Any], **wanted: Any) -> Built:
    """What comes of a document."""
    return build(document, Wanted(slug="pets", today=TODAY, **wanted))


def imported(document: dict[str, Any], **more: Any) -> Imported:
    """The files of a document."""
    return import_document(Import(content=yaml.safe_dump(document).encode(), slug="pets", today=TODAY, **more))


def read(text: str) -> dict[str, Any]:
    """A document from its text."""
    return read_document(text.encode())
