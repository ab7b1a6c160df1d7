import pytest

from raygen.errors import SettingsError
from raygen.sequence.window_choices import (
    fit_window,
    full_window,
    grid_window,
    parse_window,
    refuse_longer_window,
    window_text,
    windows_to_compare,
)
from raygen.sequence.windows import Window


@pytest.mark.parametrize(
    ("text", "window"),
    [("4096+256", Window(4096, 256)), (" 0+1@5", Window(0, 1, "grid", 5)), ("7+9", Window(7, 9))],
)
def test_a_window_is_written_in_one_word(text, window):
    assert parse_window(text) == window
    assert window_text(window) == text.strip()


@pytest.mark.parametrize("text", ["", "256", "a+b", "4+4@", "4-4", "1+0", "4+4@0"])
def test_what_is_no_window_is_refused(text):
    with pytest.raises(SettingsError):
        parse_window(text)


@pytest.mark.parametrize("context_length", [8192, 2048, 1000, 33, 8])
def test_offered_windows_can_be_read_by_the_model(context_length):
    baseline, *grids = windows_to_compare(context_length)
    assert baseline == full_window(context_length)
    assert baseline.longest == context_length
    assert all(window.longest <= context_length and window.anchor == "grid" for window in grids)
    assert grid_window(context_length).longest <= context_length


def test_offered_windows_reach_down_to_one_base_after_the_variant():
    grids = windows_to_compare(8192)[1:]
    assert [window.right for window in grids] == [1024, 256, 128, 64, 16, 4, 1]


def test_a_grid_keeps_what_is_given_and_fits_the_rest():
    assert grid_window(8192) == Window(4096, 256, "grid", 2048)
    assert grid_window(8192, left=6000, right=128) == Window(6000, 128, "grid", 2048)
    assert grid_window(8192, left=8000, right=100) == Window(8000, 100, "grid", 92)


def test_a_window_longer_than_the_context_is_refused_as_it_was_written():
    remedy = "bases, but demo reads 4,096. Use a smaller window or a model with a longer context."
    refuse_longer_window(Window(2048, 2048), 4096, "demo")
    with pytest.raises(SettingsError) as refused:
        refuse_longer_window(Window(2048, 2048, "grid", 1), 4096, "demo")
    assert str(refused.value) == f"The window 2048+2048@1 reads up to 4,097 {remedy}"
    with pytest.raises(SettingsError) as refused:
        fit_window(4000, 100, "grid", 50, 4096, "demo")
    assert str(refused.value) == f"window.left + window.right + window.stride is 4,150 {remedy}"
