#!/usr/bin/env python3
"""ResizeJob(path, width=800) in Python, with nothing but the standard library."""

import json
import signal
import sys
import traceback


class NoSuchPicture(Exception):
    """Nothing that a retry could mend."""


def resize(path: str, width: int = 800) -> dict:
    if not path.endswith((".png", ".jpg")):
        raise NoSuchPicture(f"{path} is no picture")
    if width <= 0:
        raise ValueError(f"a width of {width}")
    for percent in (0, 50, 100):
        print(f"::progress {percent} {path}::", file=sys.stderr)
    return {"path": path, "width": width}


def main() -> int:
    # SIGTERM: the time is up or the worker stops. Leaving through an exception cleans up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    job = json.load(sys.stdin)
    try:
        print(json.dumps(resize(*job["args"], **job["kwargs"])))
        return 0
    except Exception as error:
        backtrace = traceback.format_tb(error.__traceback__)
        told = {"class": type(error).__name__, "message": str(error), "backtrace": backtrace}
        print(json.dumps({"error": told}))
        return 65 if isinstance(error, NoSuchPicture) else 1


if __name__ == "__main__":
    sys.exit(main())
