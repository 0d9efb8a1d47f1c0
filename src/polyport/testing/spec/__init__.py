"""Holds rendered requests against a service's own description: ``check_cases`` for a partner's folder, ``check_request`` for one request."""

from polyport.testing.spec.folders import SpecReport, check_cases, compare, open_documents
from polyport.testing.spec.requests import Difference, check_request

__all__ = ["Difference", "SpecReport", "check_cases", "check_request", "compare", "open_documents"]
