import pytest
import yaml

from raygen.errors import SettingsError
from raygen.settings import Settings, dump_settings, load_settings

GIVEN = {"input.variants": ["v.parquet"], "input.reference": "r.fa", "output.path": "out"}


def settings_file(tmp_path, tree):
    path = tmp_path / "run.yaml"
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree))
    return str(path)


def test_the_defaults_are_those_of_the_design():
    settings = load_settings(None, given=GIVEN)
    assert settings.classes.cuts == (-7, -3, -1, 1)
    assert settings.window.anchor == "variant"
    assert settings.model.name == "demo"
    assert (settings.model.dtype, settings.model.device) == ("auto", "auto")


def test_flags_go_over_set_and_set_goes_over_the_file(tmp_path):
    config = settings_file(tmp_path, {"model": {"name": "file"}, "window": {"left": 1, "right": 2}})
    settings = load_settings(config, ["window.left=10", "model.name=set"], {**GIVEN, "model.name": "flag"})
    assert (settings.window.left, settings.window.right, settings.model.name) == (10, 2, "flag")


def test_set_reads_values_as_yaml():
    settings = load_settings(None, ["cluster.actors=[1, 4]", "input.circular=[MT]", "classes.cuts=[-9,-5,-2,2]"], GIVEN)
    assert settings.cluster.actors == (1, 4)
    assert settings.input.circular == ["MT"]
    assert settings.classes.cuts == (-9, -5, -2, 2)


def test_all_faults_are_listed_at_once(tmp_path):
    tree = {
        "modle": {},
        "window": {"lefft": 3, "right": -1},
        "classes": {"cuts": [1, 2, 3, 0]},
    }
    with pytest.raises(SettingsError) as error:
        load_settings(settings_file(tmp_path, tree), given=GIVEN)
    text = str(error.value)
    assert "4 to put right" in text
    for fault in ("modle: no such setting", "window.lefft: no such setting", "window.right", "the four cut points"):
        assert fault in text


def test_a_setting_that_may_be_several_things_is_one_fault():
    with pytest.raises(SettingsError) as error:
        load_settings(None, ["cluster.actors=many", "model=x"], GIVEN)
    assert "2 to put right" in str(error.value)
    assert "cluster.actors: cannot be used; it is how many models are resident" in str(error.value)
    assert "model: must be a section" in str(error.value)


def test_gaps_are_listed_with_the_faults():
    with pytest.raises(SettingsError) as error:
        load_settings(None, ["window.right=-1"])
    for fault in ("window.right", "input: give either", "output.path"):
        assert fault in str(error.value)


def test_settings_can_be_shown_before_there_is_an_input():
    assert load_settings(None, complete=False).output.path is None


def test_what_is_missing_is_listed_at_once():
    with pytest.raises(SettingsError) as error:
        load_settings(None, ["input.variants=v.vcf"])
    assert "input.reference" in str(error.value)
    assert "output.path" in str(error.value)


@pytest.mark.parametrize("given", [{}, {"input.variants": ["a"], "input.pairs": ["b"]}])
def test_variants_or_pairs_but_not_both(given):
    with pytest.raises(SettingsError, match="either variants or pairs"):
        load_settings(None, given={**given, "input.reference": "r", "output.path": "o"})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "must hold sections"),
        (b"\xff\xfe\x00".decode("latin1"), "is not YAML|must hold"),
    ],
)
def test_what_is_not_a_settings_file_says_so(tmp_path, content, sentence):
    with pytest.raises(SettingsError, match=sentence):
        load_settings(settings_file(tmp_path, content), given=GIVEN)


def test_a_missing_file_or_a_folder_says_so(tmp_path):
    with pytest.raises(SettingsError, match="is a folder, not a settings file"):
        load_settings(str(tmp_path))
    with pytest.raises(SettingsError, match="No such settings file"):
        load_settings("nowhere.yaml")


@pytest.mark.parametrize("override", ["window.left", "window.left=[", "model.name.deeper=1"])
def test_a_bad_override_says_how_to_write_it(override):
    with pytest.raises(SettingsError, match=r"window\.left|model\.name"):
        load_settings(None, ["model.name=x", override], GIVEN)


def test_shown_settings_load_again(tmp_path):
    settings = load_settings(None, ["cluster.actors=[1, 4]"], GIVEN)
    assert load_settings(settings_file(tmp_path, dump_settings(settings))) == settings


def test_every_setting_says_what_it_is():
    for room in Settings.model_fields.values():
        for name, field in room.annotation.model_fields.items():
            assert field.description, name
