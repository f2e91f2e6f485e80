"""The picture of docs/app.md, by a real Chromium: python scripts/app_picture.py [address]; first: make app."""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import sync_playwright

OUT = "docs/app.jpg"


def main(address: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1321}, color_scheme="light")
        page.goto(f"{address.rstrip('/')}/images?image=synthetic2d_000")
        page.locator(".viewer[data-shown]").wait_for(state="attached", timeout=120_000)
        page.wait_for_timeout(2000)  # until widgets have their place
        page.screenshot(path=OUT, type="jpeg", quality=80)
        browser.close()
    print(OUT)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8511")
