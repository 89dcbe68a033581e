"""Who may import whom (docs/architecture.md): read from the sources, so that nobody needs to remember it."""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PURE = {"time", "threading", "os", "socket", "logging", "random", "asyncio"}
"""What decisions may not know: the time and 128 random bits are arguments."""
COMPOSITION = {"agent.entry", "agent.__main__", "agent.commands.run"}
"""The only place that builds the node, and so imports everything."""
COMMANDS = "agent.commands"
"""Each uses what it needs of all the rest, but neither decides (core) nor turns the loop; nobody knows of them."""
FAMILIES = {
    "agent.security": "agent.verification",
    "agent.config": "agent.configuration",
    "agent.link": "agent.mqtt",
    "agent.fetch": "agent.fetching",
    "agent.sound_card": "agent.card",
    "agent.player": "agent.decoders",
    "agent.speech": "agent.speaking",
    "agent.gpio_amp": "agent.gpio",
    "agent.store": "agent.storage",
    "agent.provisioning": "agent.provisioning",
}
"""What is one thing in several files: the module that others know, and the folder of its parts."""
HOMES = {
    "msgspec": ("agent.messages",),
    "gpiozero": ("agent.gpio.lines",),
    "paho": ("agent.mqtt",),
    "cryptography": ("agent.security", "agent.certificate"),
}
"""Libraries whose home is a package, or is named so that a second cannot creep in elsewhere first. Signatures are
security's; what TLS certificates say is another thing."""


def sources(*packages: str) -> dict[str, str]:
    """Module name and text of every file under the packages."""
    files = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    return {name: path.read_text("utf-8") for name, path in zip(names, files, strict=True)}


def imports(text: str, known: Mapping[str, str]) -> Iterator[str]:
    """Every module a text imports, also by importlib; `from package import module` names the module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in known else base
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            yield from (
                word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)
            )


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def allowed(importer: str, imported: str) -> bool:
    """Whether one of our modules may import another of ours."""
    if importer in COMPOSITION:
        return within(imported, "agent")
    if within(importer, COMMANDS):
        return within(imported, "agent") and not within(imported, "agent.core") and imported != "agent.loop"
    if within(imported, "agent.messages") or imported == "agent":  # the package itself holds the version alone
        return True
    if within(importer, "agent.core"):
        return within(imported, "agent.core")
    if importer == "agent.loop":
        return imported == "agent.core.node"
    if not within(importer, "agent") and not within(imported, "agent"):
        return within(imported, importer.partition(".")[0])
    return any(
        {importer, imported} <= {face} | {each for each in (importer, imported) if within(each, parts)}
        for face, parts in FAMILIES.items()
    )


def violations(known: Mapping[str, str]) -> list[str]:
    """One line for each import that the design forbids."""
    found: list[str] = []
    homes: dict[str, tuple[str, ...]] = {}
    for importer, text in known.items():
        for imported in sorted(set(imports(text, known))):
            top = imported.split(".")[0]
            ours = top in {"agent", "control", "rig", "tests", "bench", ""}
            if within(importer, "agent.messages") and ours and not within(imported, "agent.messages"):
                found.append(f"{importer} imports {imported}: messages import nothing of ours")
            elif ours and not allowed(importer, imported):
                found.append(f"{importer} imports {imported}")
            elif within(importer, "agent.core") and top in PURE:
                found.append(f"{importer} imports {imported}: core does not act")
            elif not ours and top not in sys.stdlib_module_names - {"audioop"} and within(importer, "agent"):
                home = homes.setdefault(top, HOMES.get(top, (importer,)))
                if not any(within(importer, each) for each in home):
                    found.append(f"{importer} imports {top}: that is {', '.join(home)}'s")
    return found


def test_every_import_is_one_the_design_allows() -> None:
    known = sources("agent", "control")
    assert len(known) > 20
    assert violations(known) == []


@pytest.mark.parametrize(
    ("importer", "text"),
    [
        ("agent.messages.events", "import agent.core.node"),
        ("agent.messages.events", "from agent import store"),
        ("agent.core.programme", "import time"),
        ("agent.core.programme", "from threading import Thread"),
        ("agent.core.programme", "def late():\n    import os.path"),
        ("agent.core.programme", "from agent import store"),
        ("agent.core.programme", "from .. import store"),
        ("agent.security", "from agent.core import node"),
        ("agent.config", "from agent.security import verify"),
        ("agent.vitals", "from agent.store import Store"),
        ("agent.vitals", "from agent.core.node import step"),
        ("agent.vitals", "import importlib\nimportlib.import_module('agent.store')"),
        ("agent.loop", "from agent.core import programme"),
        ("agent.loop", "from agent.store import Store"),
        ("agent.store", "from control import keys"),
        ("agent.__main__", "from rig import demo"),
        ("agent.commands.run", "from control import keys"),
        ("agent.commands.status", "from agent.core import programme"),
        ("agent.commands.status", "from agent.loop import Loop"),
        ("agent.vitals", "from agent.commands import status"),
        ("agent.loop", "from agent.commands.run import main"),
        ("agent.vitals", "import msgspec"),
        ("agent.vitals", "from cryptography import x509"),
        ("agent.vitals", "import importlib\nx = importlib.import_module('gpiozero')"),
        ("agent.vitals", "import vlc.extra"),
        ("control.watch", "from agent import store"),
    ],
)
def test_a_forbidden_import_would_be_seen(importer: str, text: str) -> None:
    known = {"agent.core.node": "", "agent.core.programme": "", "agent.store": "", "agent.player": "import vlc"}
    assert violations(known) == []
    assert len(violations({**known, importer: text})) == 1


@pytest.mark.parametrize(
    ("importer", "text"),
    [
        ("agent.loop", "import time\nfrom agent.core import node\nfrom agent.messages import effects"),
        ("agent.core.node", "from agent.core import programme\nfrom agent.messages.events import Now"),
        ("agent.gpio_amp", "from agent.gpio.lines import Lines\nfrom agent import __version__"),
        ("agent.__main__", "from agent import store\nfrom agent.loop import run"),
        ("agent.commands.run", "from agent.core import node\nfrom agent.loop import Loop\nfrom agent import store"),
        ("agent.commands.status", "from agent import store\nfrom agent.commands.run import main"),
        ("agent.messages.codec", "import msgspec"),
        ("control.watch", "from control import keys\nimport rich\nfrom agent.messages import codec"),
    ],
)
def test_what_the_design_allows_passes(importer: str, text: str) -> None:
    known = {"agent.core.node": "", "agent.core.programme": "", "agent.store": "", "control.keys": "import rich"}
    assert violations({**known, importer: text}) == []
