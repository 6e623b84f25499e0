"""``make play``: the demo's world with three faces in a browser, and a tray to move cards.

Office, desk and one distribution point are founded as in the story; then people take over. A clerk
settles and exports for the auditor whenever receipts have come home.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from card_os.reference.external import AppletHostError
from demo.__main__ import ROOT, card_option, chosen, families, fresh, readers, wait
from demo.founding import Founding, StoryError
from demo.office import free_port
from demo.paper import Paper
from demo.pcscd import WorldError
from demo.point import OFFICER, SUPERVISOR
from demo.programs import ProgramError, Programs
from demo.tray import APPLET_SAID
from demo.tray_page import Mailbox, TrayPage, tray_face
from ui.guard import LOOPBACK, SERVED

BUILD = ROOT / "build" / "play"
PLACES = {"TERM000A": "Balai Desa Hulu"}
STEPS = 9
CLERK_S = 2.0


@dataclass(frozen=True, slots=True)
class Faces:
    """Addresses of everything a person opens."""

    desk: str
    hall: str
    audit: str
    tray: str


def main() -> int:
    """Found the world, start the faces, wait for Ctrl-C."""
    parser = argparse.ArgumentParser("play", description=__doc__)
    parser.add_argument("--seed", type=int, help="other families of the same kind")
    card_option(parser)
    options = parser.parse_args()
    console, begun_s = Console(), time.monotonic()
    try:
        applet = chosen(options)
        fresh(BUILD)
        with ExitStack() as stack:
            faces = start(stack, options.seed, console, applet=applet)
            console.print(f"{time.monotonic() - begun_s:.0f} s", style="dim")
            show(console, faces)
            wait()
    except (WorldError, AppletHostError) as e:
        console.print(f"{e}", style="red", markup=False)
        return 1
    except (ProgramError, StoryError) as e:
        console.print(f"Berhenti / stopped: {e}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Dihentikan / stopped.")
    return 0


def show(console: Console, faces: Faces) -> None:
    """The three addresses, and the tray's."""
    for name, english, address in (
        ("Meja penerbitan", "the desk", faces.desk), ("Titik bagi", "the village hall", faces.hall),
        ("Pemeriksa", "the auditor", faces.audit),
        ("Baki kartu", "the card tray: begin here", faces.tray),
    ):  # fmt: skip
        console.print(f"  {name:16} {address}   ({english})", markup=False, highlight=False)
    console.print("Ctrl-C: selesai / done")


def start(
    stack: ExitStack, seed: int | None, console: Console, *, applet: bool = False
) -> Faces:  # fmt: skip
    """Everything running; ``stack`` ends it all."""
    if applet:
        for line in APPLET_SAID:
            console.print(line, markup=False, highlight=False)
    data = families(seed, BUILD)
    work = Path(tempfile.mkdtemp(prefix="betang-play-"))
    code = f"{secrets.randbelow(1_000_000):06d}"  # typed by people: short, new every time
    programs = stack.enter_context(Programs(BUILD / "programs.log", work, code))
    world = readers(stack, console)
    papers = {name: stack.enter_context(Paper()) for name in PLACES}
    with Progress(TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn(),
                  console=console, transient=True) as bar:  # fmt: skip
        task = bar.add_task("mulai", total=STEPS)
        story = Founding(
            work, data, programs, world, papers,
            lambda *_: None, lambda what: bar.update(task, advance=1, description=what),
            places=PLACES, applet=applet,
        )  # fmt: skip
        story.found()
        bar.update(task, description="tiga wajah")
        return _faces(stack, story, code)


def _faces(stack: ExitStack, story: Founding, code: str) -> Faces:
    programs, point = story.programs, story.points["TERM000A"]
    export = story.root / "export"
    clerk = Clerk(story, export)
    clerk.work()
    stack.callback(clerk.stop)
    clerk.start()
    desk = _serve(programs, story, "issuer.cli", "--data", str(story.desk.folder), "--demo", "face")
    hall = _serve(programs, story, "terminal.cli", "--data", str(point.folder), "--demo", "face")
    audit = _serve(programs, story, "backend.face.cli", "face", str(export), "--trust",
                   str(story.office.trust), "--demo")  # fmt: skip
    page = TrayPage(
        {"desk": story.desk_tray, "point": story.tray}, story.cards(), story.specimen,
        Mailbox(story.desk), paper=story.papers["TERM000A"],
        secrets={"code": code, "officer": OFFICER, "supervisor": SUPERVISOR},
        faces={"desk": desk, "hall": hall, "audit": audit},
        cards_said=APPLET_SAID if story.applet else None,
    )  # fmt: skip
    return Faces(desk, hall, audit, _tray(stack, page))


def _serve(programs: Programs, story: Founding, module: str, *arguments: str) -> str:
    """Start one face as its own process; its address once it answers."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    argv = programs.argv(module, *arguments, "--port", str(port))
    env = programs.environment(story.world.env)
    programs.serve(story.world.command(argv, offline=False, env=env), lambda: _up(address),
                   env=story.world.env)  # fmt: skip
    return address


def _up(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5, follow_redirects=True).status_code < 500
    except httpx.TransportError:
        return False


def _tray(stack: ExitStack, page: TrayPage) -> str:
    config = uvicorn.Config("", host=LOOPBACK, port=0, timeout_graceful_shutdown=1, **SERVED)
    listening = stack.enter_context(config.bind_socket())
    listening.listen()
    port = int(listening.getsockname()[1])
    config.app = tray_face(page, port, os.getuid()).app
    server = uvicorn.Server(config)
    threads = [
        threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True),
        threading.Thread(target=page.watch, daemon=True),
    ]
    for thread in threads:
        thread.start()

    def stop() -> None:
        page.close()
        server.should_exit = True
        for thread in threads:
            thread.join(5)

    stack.callback(stop)
    return f"http://{LOOPBACK}:{port}"


class Clerk(threading.Thread):
    """The office's clerk: what came home is settled and exported, and new rights are drafted."""

    def __init__(self, story: Founding, export: Path) -> None:
        super().__init__(daemon=True)
        self._story, self._export = story, export
        self._end = threading.Event()
        self._seen: Any = None

    def run(self) -> None:
        """Look every few seconds; a failure is written to the log and tried again."""
        while not self._end.wait(CLERK_S):
            try:
                self.work()
            except (ProgramError, httpx.TransportError) as e:
                with self._story.programs.log.open("a", encoding="utf-8") as log:
                    log.write(f"clerk: {e}\n")

    def work(self) -> None:
        """Settle and export when the report changed since last time."""
        now = self._story.office.report()
        seen = (now["counts"], now["uploads"])
        if seen == self._seen:
            return
        self._story.office.backend("settle")
        fresh_export = self._export.with_name("export.new")
        shutil.rmtree(fresh_export, ignore_errors=True)
        self._story.office.backend("export", "--out", str(fresh_export))
        if self._export.exists():
            gone = self._export.with_name("export.old")
            shutil.rmtree(gone, ignore_errors=True)
            self._export.rename(gone)
        fresh_export.rename(self._export)
        self._seen = seen

    def stop(self) -> None:
        """End after the round that runs."""
        self._end.set()
        self.join(10)


if __name__ == "__main__":
    sys.exit(main())
