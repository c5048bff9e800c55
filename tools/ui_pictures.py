"""Takes the pictures of the catalogue in the README: `python tools/ui_pictures.py skewless-demo`.

Needs a folder that `make demo` made, Chromium, and `pip install playwright`. They are of the demo's
last minute.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "assets"
AT = "2014-01-01T04:59:00Z"
FLIGHT = "key.tailnum=N292JB&at=2013-12-31T18:29:00Z"
PICTURES: dict[str, tuple[str, Any, int, int]] = {
    "ui-explore": (
        f"/explore?of=aircraft&{FLIGHT}&feature=AircraftHistory@v1:last_5_arrivals",
        "light", 1180, 1180,
    ),
    "ui-feature": ("/features/AircraftHistory@v1:last_5_arrivals", "dark", 1180, 760),
}  # fmt: skip
"""Name to address, theme, width and height."""


def main() -> None:
    """Run the catalogue of the demo, open its pages, and write the pictures."""
    from playwright.sync_api import sync_playwright

    words = ["ui", "--repo", sys.argv[1], "--port", "0", "--at", AT]
    command = [sys.executable, "-m", "skewless.cli.main", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                for name, (path, theme, width, height) in PICTURES.items():
                    page = browser.new_page(
                        viewport={"width": width, "height": height}, color_scheme=theme
                    )
                    page.goto((found[0] if found else "") + path, wait_until="networkidle")
                    _write(FOLDER / f"{name}.png", page.screenshot())
                browser.close()
        finally:
            process.terminate()


def _write(path: Path, picture: Any) -> None:
    from PIL import Image

    Image.open(BytesIO(picture)).convert("RGB").save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
