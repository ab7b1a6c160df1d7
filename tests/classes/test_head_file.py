import json

import numpy as np
import pytest

from raygen.classes.head_file import column_of_head, read_head, read_heads
from raygen.errors import InputError, SettingsError
from tests.classes.heads import made_head


def test_a_head_that_is_read_is_the_one_that_was_written(tmp_path):
    head = made_head(tmp_path, with_delta=True)
    again = read_head(str(tmp_path / "made"))
    assert (again.facts, again.digest, again.intercept) == (head.facts, head.digest, 0.25)
    for name in ("centre", "scale", "weight", "training_sites"):
        assert np.array_equal(getattr(again, name), getattr(head, name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "made.json"]


def test_equal_heads_are_equal_files(tmp_path):
    made_head(tmp_path, "one"), made_head(tmp_path, "two")
    for end in ("", ".json"):
        assert (tmp_path / f"one{end}").read_bytes() == (tmp_path / f"two{end}").read_bytes()


def test_numbers_that_were_edited_are_refused(tmp_path):
    made_head(tmp_path)
    content = bytearray((tmp_path / "made").read_bytes())
    content[-1] ^= 1
    (tmp_path / "made").write_bytes(content)
    with pytest.raises(
        InputError, match="made was changed since the head was trained: its numbers have another digest"
    ):
        read_head(str(tmp_path / "made"))


@pytest.mark.parametrize("edit", ["result", "digest", "numbers"])
def test_a_json_that_was_edited_is_refused(tmp_path, edit):
    made_head(tmp_path)
    described = json.loads((tmp_path / "made.json").read_text())
    if edit == "result":
        described["result"]["areas"]["head"]["auroc"] = 0.99
    elif edit == "digest":
        described["digest"] = "0" * 16
    else:
        described["numbers_sha256"] = "0" * 64
    (tmp_path / "made.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match=r"made\.json was changed since the head was trained"):
        read_head(str(tmp_path / "made"))


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "no JSON that can be read"), ("[1]", "it is no JSON object"), ("{}", "was changed since")],
)
def test_a_json_that_is_no_head_is_refused(tmp_path, text, words):
    made_head(tmp_path)
    (tmp_path / "made.json").write_text(text)
    with pytest.raises(InputError, match=words):
        read_head(str(tmp_path / "made"))


@pytest.mark.parametrize("end", ["", ".json"])
def test_a_head_lacks_none_of_its_two_files(tmp_path, end):
    made_head(tmp_path)
    (tmp_path / f"made{end}").unlink()
    with pytest.raises(InputError, match=f"No such file: .*made{end}. A head is two files"):
        read_head(str(tmp_path / "made"))


def test_the_column_of_a_head_is_named_for_its_file(tmp_path):
    assert column_of_head("/a/b/missense.head.safetensors") == "head_missense"
    assert column_of_head("s3://bucket/heads/all_1?region=x.y") == "head_all_1"
    with pytest.raises(SettingsError, match="a file name of letters, digits and _ is needed"):
        column_of_head("my head")
    made_head(tmp_path, "one"), made_head(tmp_path, "one.later")
    with pytest.raises(SettingsError, match="Two heads would write the column head_one"):
        read_heads([str(tmp_path / "one"), str(tmp_path / "one.later")])
    assert list(read_heads([str(tmp_path / "one")])) == ["head_one"]
