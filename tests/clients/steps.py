"""What the Python programs here share: telling each step, ending at the first difference, waiting for what others do."""

import asyncio
import sys
from typing import Any, Awaitable, Callable, NoReturn

PASSWORD = "correct horse battery staple"
PATIENCE = 20

# One red pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


def told(what: str) -> None:
    print(f"ok      {what}", flush=True)


def failed(what: str) -> NoReturn:
    print(f"FAILED  {what}", flush=True)
    sys.exit(1)


def equal(what: str, got: Any, wanted: Any) -> None:
    if got != wanted:
        failed(f"{what}: got {got!r}, not {wanted!r}")
    told(what)


def true(what: str, holds: Any, got: Any = "") -> None:
    if not holds:
        failed(f"{what} {got!r}" if got != "" else what)
    told(what)


async def eventually(what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
    """For what a server does by and by: asks until the answer is true."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not (answer := await ask()):
                await asyncio.sleep(0.05)
    except TimeoutError:
        failed(f"after {PATIENCE} s still not: {what}")
    told(what)
    return answer


class Seen:
    """What came in so far. A wait takes out what it waited for, so that the next one finds the next."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._news = asyncio.Event()

    def add(self, item: Any) -> None:
        self._items.append(item)
        self._news.set()

    async def wait(self, what: str, fits: Callable[[Any], Any]) -> Any:
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    for index, item in enumerate(self._items):
                        if fits(item):
                            told(f"saw {what}")
                            return self._items.pop(index)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            came = "\n        ".join(str(item)[:400] for item in self._items[-12:])
            failed(f"waited {PATIENCE} s for {what}; there came:\n        {came}")
