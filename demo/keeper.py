"""Ends what the story started when the story itself is ended, even by SIGKILL.

Run as a process of its own: ``keeper.py FOLDER``. It leads a process group that every program
joins, and waits on its standard input, a pipe that only the story holds. At the pipe's end it
removes FOLDER and ends the group.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys


def main() -> None:
    """Wait for the end of the story, then leave nothing behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGTERM)  # ignored here, so that the folder goes after its users
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
