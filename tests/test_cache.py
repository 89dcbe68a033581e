"""The content-addressed folder: what is believed, what is kept, what is evicted, what a bad disk does."""

import contextlib
import hashlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.fetching.attempt import CancelledError, SourceError
from agent.fetching.cache import DATED_EVERY_S, Cache
from agent.messages.reasons import Reason
from agent.messages.sources import File


def go_on() -> None:
    """A check that lets everything go on."""


def give_up() -> None:
    raise CancelledError


def file_of(data: bytes) -> File:
    return File(uri="https://files.example/x", sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def store(cache: Cache, data: bytes, token: int = 1) -> Path:
    with contextlib.closing(cache.partial(file_of(data), token, go_on)) as partial:
        partial.make_room()
        partial.write(data)
        assert partial.fits()
        return partial.commit()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1_000)


def test_a_stored_file_is_known_under_its_hash(cache: Cache, tmp_path: Path) -> None:
    path = store(cache, b"xin chao")
    sha256 = hashlib.sha256(b"xin chao").hexdigest()
    assert path == tmp_path / "cache" / sha256[:2] / sha256
    assert path.read_bytes() == b"xin chao"
    assert cache.known(file_of(b"xin chao")) == path
    assert names(tmp_path) == {sha256}


def test_after_a_restart_a_file_is_believed_only_once_its_bytes_were_read(cache: Cache, tmp_path: Path) -> None:
    path = store(cache, b"xin chao")
    again = Cache(tmp_path / "cache", 1_000)
    assert again.known(file_of(b"xin chao")) is None
    assert again.verified(file_of(b"xin chao"), go_on) == path
    assert again.known(file_of(b"xin chao")) == path


@pytest.mark.parametrize("spoilt", [b"xin chaO", b"xin", b"", b"xin chao and more"])
def test_a_file_that_has_changed_is_known_no_more_and_removed(cache: Cache, spoilt: bytes) -> None:
    path = store(cache, b"xin chao")
    path.write_bytes(spoilt)
    os.utime(path, ns=(1, 1))
    assert cache.known(file_of(b"xin chao")) is None
    assert cache.verified(file_of(b"xin chao"), go_on) is None
    assert not path.exists()


def test_an_order_with_the_right_hash_and_another_size_is_refused_and_removes_nothing(cache: Cache) -> None:
    path = store(cache, b"xin chao")
    wrong = File(uri="https://files.example/x", sha256=file_of(b"xin chao").sha256, bytes=7)
    assert cache.known(wrong) is None
    with pytest.raises(SourceError) as refused:
        cache.verified(wrong, go_on)
    assert refused.value.reason is Reason.SIZE_MISMATCH
    assert cache.known(file_of(b"xin chao")) == path


def test_what_was_never_stored_is_not_there(cache: Cache) -> None:
    assert cache.known(file_of(b"x")) is None
    assert cache.verified(file_of(b"x"), go_on) is None


def test_hashing_ends_when_it_is_given_up(cache: Cache) -> None:
    store(cache, b"xin chao")
    with pytest.raises(CancelledError):
        cache.verified(file_of(b"xin chao"), give_up)


def test_a_partial_survives_and_goes_on_where_it_was(cache: Cache, tmp_path: Path) -> None:
    file = file_of(b"xin chao")
    with contextlib.closing(cache.partial(file, 1, go_on)) as partial:
        assert not partial.inherited
        partial.write(b"xin ")
    again = Cache(tmp_path / "cache", 1_000)
    with contextlib.closing(again.partial(file, 2, go_on)) as partial:
        assert (partial.size, partial.inherited) == (4, True)
        assert not partial.fits()
        partial.write(b"chao")
        assert partial.fits()
        assert partial.commit().read_bytes() == b"xin chao"


def test_a_partial_that_is_too_long_begins_anew(cache: Cache) -> None:
    file = file_of(b"xin chao")
    with contextlib.closing(cache.partial(file, 1, go_on)) as partial:
        partial.write(b"much more than that")
    with contextlib.closing(cache.partial(file, 2, go_on)) as partial:
        assert (partial.size, partial.inherited) == (0, False)


def test_a_restarted_partial_holds_nothing_of_before(cache: Cache) -> None:
    with contextlib.closing(cache.partial(file_of(b"xin chao"), 1, go_on)) as partial:
        partial.write(b"something")
        partial.restart()
        partial.write(b"xin chao")
        assert partial.fits()
        assert partial.commit().read_bytes() == b"xin chao"


def test_a_discarded_partial_leaves_nothing(cache: Cache, tmp_path: Path) -> None:
    with contextlib.closing(cache.partial(file_of(b"xin chao"), 1, go_on)) as partial:
        partial.write(b"xin")
        partial.discard()
    assert names(tmp_path) == set()


def test_opening_a_partial_that_is_given_up_frees_its_place(cache: Cache) -> None:
    file = file_of(b"xin chao")
    with contextlib.closing(cache.partial(file, 1, go_on)) as partial:
        partial.write(b"xin")
    with pytest.raises(CancelledError):
        cache.partial(file, 2, give_up)
    with contextlib.closing(cache.partial(file, 3, go_on)) as partial:
        assert partial.inherited


def test_two_downloads_of_one_file_do_not_write_into_each_other(cache: Cache, tmp_path: Path) -> None:
    file = file_of(b"xin chao")
    with contextlib.closing(cache.partial(file, 1, go_on)) as first:
        with contextlib.closing(cache.partial(file, 2, go_on)) as second:
            first.write(b"xin ")
            second.write(b"xin chao")
            second.commit()
        first.write(b"chao")
        first.commit()
    assert names(tmp_path) == {file.sha256}
    assert cache.known(file) is not None


def test_the_second_of_two_downloads_leaves_no_partial(cache: Cache, tmp_path: Path) -> None:
    file = file_of(b"xin chao")
    with contextlib.closing(cache.partial(file, 1, go_on)):
        with contextlib.closing(cache.partial(file, 2, go_on)) as second:
            second.write(b"xin")
        assert names(tmp_path) == {f"{file.sha256}.part"}


def test_the_least_recently_used_makes_room(cache: Cache) -> None:
    store(cache, b"a" * 400)
    store(cache, b"b" * 400)
    assert cache.known(file_of(b"a" * 400)) is not None
    store(cache, b"c" * 400)
    assert cache.known(file_of(b"b" * 400)) is None
    assert cache.known(file_of(b"a" * 400)) is not None
    assert cache.known(file_of(b"c" * 400)) is not None


def test_after_a_restart_the_oldest_date_makes_room(cache: Cache, tmp_path: Path) -> None:
    old, new = store(cache, b"a" * 400), store(cache, b"b" * 400)
    os.utime(new, (2_000_000_000, 2_000_000_000))
    os.utime(old, (1_000_000_000, 1_000_000_000))
    store(Cache(tmp_path / "cache", 1_000), b"c" * 400)
    assert not old.exists()
    assert new.exists()


def test_a_forgotten_partial_makes_room_but_not_one_under_way(cache: Cache, tmp_path: Path) -> None:
    with contextlib.closing(cache.partial(file_of(b"a" * 400), 1, go_on)) as partial:
        partial.write(b"a" * 300)
    with contextlib.closing(cache.partial(file_of(b"b" * 400), 2, go_on)) as under_way:
        under_way.write(b"b" * 100)
        store(cache, b"c" * 500, token=3)
        assert names(tmp_path) == {f"{file_of(b'b' * 400).sha256}.part", file_of(b"c" * 500).sha256}


def refusal(cache: Cache, data: bytes, token: int) -> SourceError:
    with pytest.raises(SourceError) as refused:
        store(cache, data, token)
    return refused.value


def test_what_is_larger_than_the_cache_is_refused_before_anything_is_evicted(cache: Cache) -> None:
    kept = store(cache, b"a" * 900)
    assert refusal(cache, b"b" * 1_001, 2).reason is Reason.CACHE_FULL
    assert kept.exists()


def test_downloads_under_way_count_with_their_whole_size(cache: Cache) -> None:
    with contextlib.closing(cache.partial(file_of(b"a" * 600), 1, go_on)):
        assert refusal(cache, b"b" * 500, 2).reason is Reason.CACHE_FULL
    assert store(cache, b"b" * 500, 3).exists()


@pytest.mark.parametrize(("urgent", "others", "fits"), [(True, False, True), (True, True, False), (False, True, False)])
def test_for_an_emergency_only_with_what_has_come_of_them_unless_they_are_emergencies_too(
    cache: Cache, tmp_path: Path, urgent: bool, others: bool, fits: bool
) -> None:
    idle = store(cache, b"c" * 500)
    with contextlib.closing(cache.partial(file_of(b"a" * 600), 1, go_on, urgent=others)) as under_way:
        under_way.write(b"a" * 100)
        with contextlib.closing(cache.partial(file_of(b"b" * 500), 2, go_on, urgent=urgent)) as partial:
            if fits:
                partial.make_room()
                assert not idle.exists()
            else:
                with pytest.raises(SourceError):
                    partial.make_room()
        assert f"{file_of(b'a' * 600).sha256}.part" in names(tmp_path), "it is under way"


def test_playing_a_file_again_writes_nothing_for_a_day(cache: Cache) -> None:
    path = store(cache, b"xin chao")
    before = path.stat()
    for _ in range(3):
        assert cache.known(file_of(b"xin chao")) == path
    assert path.stat().st_ctime_ns == before.st_ctime_ns


def test_a_file_in_use_is_dated_once_a_day(cache: Cache) -> None:
    path = store(cache, b"xin chao")
    now_s = path.stat().st_mtime
    os.utime(path, (now_s - 2 * DATED_EVERY_S, now_s - 2 * DATED_EVERY_S))
    assert cache.verified(file_of(b"xin chao"), go_on) == path
    assert path.stat().st_mtime >= now_s - 1
    assert cache.known(file_of(b"xin chao")) == path


def test_a_folder_that_cannot_be_is_a_storage_fault(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    cache = Cache(tmp_path / "cache", 1_000)
    with pytest.raises(SourceError) as refused:
        cache.known(file_of(b"x"))
    assert refused.value.reason is Reason.STORAGE
    assert refusal(cache, b"x", 1).reason is Reason.STORAGE


@contextlib.contextmanager
def largest_file(count: int) -> Iterator[None]:
    """The kernel refuses to let a file grow beyond this, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_is_a_storage_fault(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1_000_000)
    data = os.urandom(200_000)
    with contextlib.closing(cache.partial(file_of(data), 1, go_on)) as partial, largest_file(100_000):
        with pytest.raises(SourceError) as refused:
            partial.write(data)
        assert refused.value.reason is Reason.STORAGE
    with contextlib.closing(cache.partial(file_of(data), 2, go_on)) as partial:
        assert partial.size == 100_000
        partial.write(data[100_000:])
        assert partial.commit().read_bytes() == data
