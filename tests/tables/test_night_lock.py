import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from raygen.errors import SettingsError, StoppedError
from raygen.tables.locks import LOCK_FILE, PATIENCE, Holder, night_lock


def leave(folder, holder: Holder, silent: float = 0.0) -> None:
    """A lock as another night left it, with its last sign of life some seconds ago."""
    path = folder / LOCK_FILE
    path.write_text(json.dumps(asdict(holder)))
    then = path.stat().st_mtime - silent
    os.utime(path, (then, then))


def gone() -> int:
    """The number of a process that is over."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_lock_is_held_once_and_gone_afterwards(tmp_path):
    with night_lock(tmp_path) as said:
        assert said is None
        with pytest.raises(StoppedError, match=r"Another night is at work.* Run the same command again") as raised:
            night_lock(tmp_path).__enter__()
        assert raised.value.exit_code == 4  # a scheduler tries that again, and not what exits with 2
    assert not list(tmp_path.iterdir())
    with night_lock(tmp_path):
        pass


def test_a_night_that_fails_leaves_no_lock(tmp_path):
    with pytest.raises(ZeroDivisionError), night_lock(tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_lock_of_a_process_that_is_gone_is_taken_over_at_once(tmp_path):
    leave(tmp_path, replace(Holder.of_this_process(), pid=gone()))
    with night_lock(tmp_path) as said:
        assert "died here" in said


def test_a_process_number_that_is_used_again_does_not_keep_a_lock_alive(tmp_path):
    leave(tmp_path, replace(Holder.of_this_process(), started="1"))
    with night_lock(tmp_path) as said:
        assert "died here" in said


def test_a_lock_from_before_a_reboot_is_taken_over_at_once(tmp_path):
    own = replace(Holder.of_this_process(), machine="m")
    assert replace(own, boot="another").is_dead(own, silent=0)


@pytest.mark.parametrize("other", [{"boot": "another", "machine": "another"}, {"namespace": "another"}])
def test_on_another_machine_or_in_another_container_only_long_silence_is_death(tmp_path, other):
    holder = replace(Holder.of_this_process(), pid=gone(), **other)
    leave(tmp_path, holder, silent=PATIENCE - 60)
    with pytest.raises(StoppedError, match=r"last sign of life 8[4-9]\d s ago"), night_lock(tmp_path):
        pass
    leave(tmp_path, holder, silent=PATIENCE + 60)
    with night_lock(tmp_path) as said:
        assert "died here" in said


def test_a_night_that_was_taken_for_dead_does_not_remove_the_lock_of_the_next(tmp_path):
    with night_lock(tmp_path):
        leave(tmp_path, replace(Holder.of_this_process(), token="the next one's"))
    assert (tmp_path / LOCK_FILE).exists()


def test_a_file_of_someone_elses_is_not_taken_away(tmp_path):
    (tmp_path / LOCK_FILE).write_text("mine")
    with pytest.raises(SettingsError, match="no lock of raygen's"), night_lock(tmp_path):
        pass
    assert (tmp_path / LOCK_FILE).read_text() == "mine"
