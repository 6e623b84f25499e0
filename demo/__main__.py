"""``make demo``: the main job end to end, by the real programs on virtual readers."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from card_os.reference.external import AppletHostError, host_command
from demo import dataset
from demo.founding import PLACES, StoryError
from demo.paper import Paper
from demo.pcscd import PcscdWorld, WorldError
from demo.programs import ProgramError, Programs
from demo.sockets import SocketWorld
from demo.story import Story

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "demo"
MARK = ".betang-demo"
STEPS = 95


def main() -> int:
    """Play the story; 0 when every act ended as it must."""
    parser = argparse.ArgumentParser("demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end by itself")
    parser.add_argument("--seed", type=int, help="another story of the same kind")
    card_option(parser)
    options = parser.parse_args()
    console, begun_s = Console(), time.monotonic()
    try:
        applet = chosen(options)
        fresh(BUILD)
        summary = play(options.seed, console, stay=not options.once, applet=applet)
    except (WorldError, AppletHostError) as e:
        console.print(f"{e}", style="red", markup=False)
        return 1
    except (ProgramError, StoryError) as e:
        console.print(f"Cerita berhenti / the story stopped: {e}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Dihentikan; jalankan lagi kapan saja / stopped; run it again any time.")
        return 130
    console.print(f"{times(time.monotonic() - begun_s)}; {summary}", markup=False)
    return 0


def card_option(parser: argparse.ArgumentParser) -> None:
    """``--card``: what lies in the readers."""
    parser.add_argument("--card", choices=("reference", "applet"), default="reference",
                        help="the reference card, or the Java Card applet in jCardSim")  # fmt: skip


def chosen(options: argparse.Namespace) -> bool:
    """Whether the cards run the applet; AppletHostError, one line, when that cannot be."""
    if options.card == "applet":
        host_command()
    return bool(options.card == "applet")


def times(story_s: float) -> str:
    """How long set-up (as scripts/setup left it) and story took, beside what is allowed."""
    path = ROOT / "build" / "setup-seconds"
    set_up_s = float(path.read_text("ascii")) if path.exists() else 0.0
    total = f"set-up {set_up_s:.0f} s + story {story_s:.0f} s = {set_up_s + story_s:.0f} s"
    return f"{total} (first run <= 600 s, later <= 120 s)"


def fresh(folder: Path) -> None:
    """Empty our own folder of an earlier run, and no other (:class:`StoryError`)."""
    if folder.exists():
        if not (folder / MARK).exists() and any(folder.iterdir()):
            raise StoryError(f"{folder} is not a folder of this demo; it was left as it is")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def families(seed: int | None, build: Path) -> Path:
    """The folder of the demo's families: the committed one, or one of ``seed`` in ``build``."""
    if seed is None:
        return ROOT / "data" / "demo"
    folder = build / "data"
    folder.mkdir()
    for name, content in dataset.make(seed, dataset.DEFAULT_TODAY).items():
        (folder / name).write_bytes(content)
    return folder


def play(seed: int | None, console: Console, *, stay: bool, applet: bool = False) -> Path:
    """The whole story; the path of its summary. With ``stay`` the API answers until Ctrl-C."""
    data = families(seed, BUILD)
    bar = Progress(TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn(),
                   console=console, transient=True)  # fmt: skip
    with ExitStack() as stack:
        work = Path(tempfile.mkdtemp(prefix="betang-demo-"))
        programs = stack.enter_context(
            Programs(BUILD / "programs.log", work, secrets.token_hex(16))
        )
        world = readers(stack, console)
        papers = {name: stack.enter_context(Paper()) for name in PLACES}
        stack.enter_context(bar)
        task = bar.add_task("mulai", total=STEPS)

        def say(indonesian: str, english: str) -> None:
            bar.console.print(f"• {indonesian}", markup=False, highlight=False)
            bar.console.print(f"  {english}", style="dim", markup=False, highlight=False)

        def step(what: str) -> None:
            bar.update(task, advance=1, description=what)

        story = Story(work, data, programs, world, papers, say, step, applet=applet,
                      seed=seed or dataset.DEFAULT_SEED)  # fmt: skip
        summary = story.play()
        summary["seconds"] = story.seconds
        bar.stop()
        path = keep(story, summary)
        show(console, summary)
        if stay:
            console.print(f"API: {story.office.url}/docs  (Ctrl-C: selesai / done)", markup=False)
            wait()
    return path


def readers(stack: ExitStack, console: Console) -> PcscdWorld | SocketWorld:
    """Our own pcscd with two readers; else, but never in CI, the cards' own sockets."""
    try:
        return stack.enter_context(PcscdWorld(2))
    except WorldError as e:
        if os.environ.get("CI"):
            raise
        console.print(
            f"{e}. Tanpa ini tidak terbukti: kartu lewat pcscd, dan terminal tanpa jaringan.\n"
            "Not proved without it: cards through pcscd, and terminals without a network.",
            style="yellow", markup=False,
        )  # fmt: skip
        return stack.enter_context(SocketWorld(2))


def keep(story: Story, summary: dict[str, object]) -> Path:
    """Copy what a person or an auditor looks at into build/demo."""
    for name in ("export", "receipts"):
        shutil.copytree(story.root / name, BUILD / name)
    for name in ("trust.cbor", "audit.json", "report.json"):
        shutil.copy(story.root / name, BUILD / name)
    shutil.copytree(story.root / "stick", BUILD / "uploads")
    path = BUILD / "summary.json"
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return path


def show(console: Console, summary: dict[str, object]) -> None:
    """The figures of the summary, one a line."""
    for name, value in summary.items():
        if not isinstance(value, dict):
            console.print(f"  {name:24} {value}", markup=False, highlight=False)


def wait() -> None:
    """Until somebody presses Ctrl-C."""
    read, _ = os.pipe()
    try:
        os.read(read, 1)
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    sys.exit(main())
