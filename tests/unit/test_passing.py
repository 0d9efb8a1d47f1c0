"""The operations by which requests of a caller's own are passed on: two for each partner, with ids that are nobody else's."""

import pytest

from polyport.manifest.passing import METHODS, partner_of, passing, passing_id, shape_of


@pytest.mark.parametrize("partner_id", [1, 225, 2**31])
def test_each_partner_has_one_operation_that_reads_and_one_that_does_not(partner_id):
    ids = {method: passing_id(partner_id, method) for method in METHODS}
    assert len(set(ids.values())) == 2
    assert {partner_of(found) for found in ids.values()} == {partner_id}
    assert [method for method in METHODS if passing(ids[method]).repeatable] == ["GET", "HEAD", "OPTIONS"]


def test_ids_of_folders_are_none_of_them():
    assert [partner_of(found) for found in (1, 10025156, 2**52, 2**53)] == [None] * 4


def test_one_call_is_due_for_each_shape():
    calls = passing(passing_id(7, "POST")).calls
    shapes = [shape_of(slash=slash, body=body) for slash in (False, True) for body in ("none", "json", "form", "text")]
    assert [sum(call.when.holds({"shape": shape}) for call in calls) for shape in shapes] == [1] * 8
