"""Fixtures that start real parts, and what is done where the machine does not keep time (ADR 0011).

`machine` knows how long each processor stood still: tests of real processes judge a span without that. A test that
fails all the same while the machine stood still is made again, six times at most, each time with every fixture made
new: a queue that a failed try left behind must not fail the next. What the last one says is the result. On a machine
that keeps time there is one try.
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.runner import call_and_report

from rig.calm import Machine
from rig.sound import Daemon, boottime_s
from rig.village import Station

TRIES = 6
STOOD_STILL_S = 0.1
"""At a stretch: what breaks a test here. A machine that is merely busy is none of that."""

REAL = (
    "tests/attacks/test_broker_access.py",
    "tests/end_to_end/",
    "tests/faults/",
    "tests/control/test_with_broker.py",
    "tests/test_console.py",
    "tests/test_fetch.py",
    "tests/test_gpio_amp.py",
    "tests/test_heard.py",
    "tests/test_hls.py",
    "tests/test_link.py",
    "tests/test_player.py",
    "tests/test_probe.py",
    "tests/test_sound_card.py",
    "tests/test_speech.py",
    "tests/test_store.py",
)
"""Where tests have real processes, sockets, devices or clocks on the other side."""

ALONE = (
    "tests/end_to_end/",
    "tests/faults/test_card.py",
    "tests/faults/test_interrupted_heard.py",
    "tests/faults/test_unit.py",
    "tests/test_heard.py",
)
"""Where sound is listened to as it comes, or a process has a second to start in: whatever runs beside takes from it."""

PACKAGE = ("tests/package/",)
"""Where the packages that `make deb` has built are installed: as root, and by `make package-test` alone."""

MADE_AGAIN = "made again"
again: list[str] = []
machine_key = pytest.StashKey[Machine]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real: real parts on the other side; made again where the machine stood still")
    config.addinivalue_line("markers", "alone: nothing runs beside it")
    config.addinivalue_line("markers", "package: installs the Debian packages on a machine with a systemd of its own")
    # A shell starts what it puts in the background deaf to SIGINT, and every process of ours would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(REAL):
            item.add_marker(pytest.mark.real)
        if item.nodeid.startswith(ALONE):
            item.add_marker(pytest.mark.alone)
        if item.nodeid.startswith(PACKAGE):
            item.add_marker(pytest.mark.package)


def watched(config: pytest.Config) -> Machine:
    """The machine, watched from the first test on that asks until the end of the run."""
    if machine_key not in config.stash:
        machine = Machine()
        machine.__enter__()
        config.add_cleanup(lambda: machine.__exit__(None, None, None))
        config.stash[machine_key] = machine
    return config.stash[machine_key]


def tried(item: pytest.Item, nextitem: pytest.Item | None, excused: Callable[[], bool]) -> list[pytest.TestReport]:
    """One try. If it fails and the caller wants another, all fixtures end with it, the session's too."""
    if getattr(item, "_request", None) is False:  # so pytest leaves an item that was run before
        item._initrequest()  # type: ignore[attr-defined]
    forget_failed_fixtures(item)
    reports = [call_and_report(item, "setup", log=False)]
    if reports[0].passed:
        reports.append(call_and_report(item, "call", log=False))
    failed = any(report.failed for report in reports)
    reports.append(call_and_report(item, "teardown", log=False, nextitem=None if failed and excused() else nextitem))
    item._request = False  # type: ignore[attr-defined]
    item.funcargs = None  # type: ignore[attr-defined]
    return reports


def forget_failed_fixtures(item: pytest.Item) -> None:
    """A fixture that could not be made is kept by pytest as its error, and would fail every later try and test."""
    for definitions in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
        for definition in definitions:
            if definition.cached_result is not None and definition.cached_result[2] is not None:
                definition.finish(item._request)  # type: ignore[attr-defined]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Make a real test again while it fails on a machine that stood still."""
    if item.get_closest_marker("real") is None:
        return None
    machine = watched(item.config)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    failures: list[str] = []
    for left in reversed(range(TRIES)):
        since_s = boottime_s()

        def excused(since_s: float = since_s, left: int = left) -> bool:
            return left > 0 and machine.worst_s(since_s, boottime_s()) >= STOOD_STILL_S

        reports = tried(item, nextitem, excused)
        failed = [report for report in reports if report.failed]
        if not failed or not excused():
            break
        still_s = machine.worst_s(since_s, boottime_s())
        failures.append(f"{item.nodeid}: failed while the machine stood still for {still_s:.2f} s; {left} tries left")
        failures.extend(f"    {line}" for report in failed for line in report.longreprtext.splitlines()[-8:])
    reports[-1].user_properties.extend((MADE_AGAIN, line) for line in failures)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Also what a process beside this one has made again."""
    again.extend(str(value) for name, value in report.user_properties if name == MADE_AGAIN)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if again:
        terminalreporter.section("made again: this machine does not keep time")
        for line in again:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config) -> Machine:
    """How long this machine stood still."""
    return watched(pytestconfig)


@pytest.fixture(scope="session")
def sound() -> Iterator[Daemon]:
    """A private sound server with a null sink that is listened to."""
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Broker, keys and trust of one commune."""
    folder: Path = tmp_path_factory.mktemp("station")
    with Station(folder) as station:
        yield station
