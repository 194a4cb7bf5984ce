"""Debian's chromium without a window, for tests of pages; its pictures are kept in build/screenshots."""

import shutil
import time
from contextlib import contextmanager

import pytest

from helpers.tools import ROOT

PICTURES = ROOT / "build" / "screenshots"
SECONDS = 30


@contextmanager
def browser_page(width=1280, height=900):
    """Give an empty page of a browser; without a browser or Playwright the test is skipped."""
    driver = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(1000 * SECONDS)
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        outside = []
        page.on("request", lambda request: outside.append(request.url))
        yield page
        assert errors == []
        # Neither page asks anybody else for anything.
        assert [url for url in outside if not url.startswith(("http://127.0.0.1:", "blob:", "data:"))] == []
        browser.close()


def until(condition):
    """Wait until a condition holds: the policy of a page forbids Playwright's own way, which evaluates text in it."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def picture(page, name):
    """Keep a picture of a page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(PICTURES / f"{name}.png"), full_page=True)
