"""Reader event to pixels in the hall: measured by `make bench-faces`, which names this file."""

import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from demo.pcscd import PcscdWorld
from tests.browser.conftest import SCREENS
from tests.browser.test_hall import Village, working

INSERTIONS = int(os.environ.get("BETANG_INSERTIONS", "30"))
PIXELS = """() => { window.seen = {};
  new MutationObserver(() => {
    const name = document.querySelector('[data-busy]') ? 'busy'
      : document.querySelector('.wallets') ? 'family' : null;
    if (!name || name in seen) return;
    requestAnimationFrame(() => { const after = new MessageChannel();
      after.port1.onmessage = () => {
        seen[name] ??= performance.timeOrigin + performance.now(); };
      after.port2.postMessage(0); });
  }).observe(document.getElementById('live'), {childList: true, subtree: true}); }"""


def test_event_to_pixels(
    tmp_path: Path, pcscd_world: PcscdWorld, page: Page, serve: Callable[..., str]
) -> None:
    """To the first changed pixels, and to the family's screen less the card's own time."""
    with working(Village(tmp_path, pcscd_world, page), serve) as v:
        v.enter("11", "Buka")
        v.sees("Masukkan kartu")
        v.page.evaluate(PIXELS)
        first, family = zip(*(insertion(v) for _ in range(INSERTIONS)), strict=True)
    figures = {"reader event to first pixels, ms": round(statistics.median(first)),
               "to the family's screen less the card's time, ms": round(statistics.median(family)),
               "insertions": len(first)}  # fmt: skip
    (SCREENS.parent / "hall-pixels.json").write_text(json.dumps(figures))


def insertion(v: Village) -> tuple[float, float]:
    """One card in and out: milliseconds to both."""
    v.page.evaluate("seen = {}")
    v.put()
    v.sees("Bisa diambil")
    seen = v.page.evaluate(
        "new Promise(r => requestAnimationFrame(() => setTimeout(() => r(seen))))"
    )
    came_ms = v.worker.card_came_s * 1000
    v.press("Selesai")
    v.pull()
    v.sees("Masukkan kartu")
    family = seen["family"] - came_ms - v.card_s * 1000
    return seen.get("busy", seen["family"]) - came_ms, family
