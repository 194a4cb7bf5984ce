"""The published recipe, item by item; docs/fidelity.md is what comes out."""

import pytest
from fidelity import page, rows

from helpers.tools import ROOT

ROWS = list(rows())


@pytest.mark.parametrize("row", ROWS, ids=[row.item for row in ROWS])
def test_ours_is_what_was_published(row):
    assert row.error <= row.allowed, (row.published, row.ours)


def test_the_page_is_of_today():
    """But for the errors, whose last digits are the machine's."""

    def without_errors(text):
        return [line.rsplit("|", 2)[0] for line in text.splitlines()]

    assert without_errors((ROOT / "docs/fidelity.md").read_text()) == without_errors(page())
