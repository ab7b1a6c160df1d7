import pytest
import yaml

from raygen.errors import SettingsError
from raygen.settings import Settings, dump_settings, load_settings

GIVEN = {"input.variants": ["v.parquet"], "input.reference": "r.fa", "output.path": "out"}


def settings_file(tmp_path, tree):
    path = tmp_path / "run.yaml"
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree))
    return str(path)


def faults(override) -> list[str]:
    """The faults of one ``--set`` beside settings that are whole."""
    try:
        load_settings(None, [override], GIVEN, complete=False)
    except SettingsError as error:
        first, *rest = str(error).splitlines()
        assert first == f"{len(rest)} error{'s' * (len(rest) != 1)} in the settings:"
        return [line.strip() for line in rest]
    return []


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
    settings = load_settings(None, ["cluster.actors=[1, 4]", "input.circular=MT", "classes.cuts=[-9,-5,-2,2]"], GIVEN)
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
    assert text.splitlines()[0] == f"4 errors in {tmp_path / 'run.yaml'}:"
    for fault in (
        "modle: no such setting; did you mean model?",
        "window.lefft: no such setting; did you mean window.left?",
        "window.right: must be a whole number of at least 1, or null (given: -1)",
        "classes.cuts: must be four ascending numbers, e.g. [-7, -3, -1, 1] (given: [1, 2, 3, 0])",
    ):
        assert f"  {fault}\n" in text + "\n"


def test_a_setting_that_may_be_several_things_is_one_fault():
    with pytest.raises(SettingsError) as error:
        load_settings(None, ["cluster.actors=many", "model=x"], GIVEN)
    assert "2 errors in the settings:" in str(error.value)
    assert "cluster.actors: must be auto, a whole number of at least 1, or a range" in str(error.value)
    assert "model: is a section; its settings are name, revision" in str(error.value)


def test_one_fault_is_one_error():
    assert faults("window.right=0") == ["window.right: must be a whole number of at least 1, or null (given: 0)"]


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("window.left=", "window.left= has no value (an unset shell variable?); write window.left=null for the default"),
        ("model.name= ", "model.name= has no value (an unset shell variable?); leave it out for the default"),
        ("model.name=''", "model.name: must be text, not empty (given: '')"),
        ("window.left=abc", "window.left: must be a whole number of at least 0, or null (given: abc)"),
        ("window.left=true", "window.left: must be a whole number of at least 0, or null (given: true)"),
        ("classes.cuts=[1, 2]", "classes.cuts: must be four ascending numbers, e.g. [-7, -3, -1, 1] (given: [1, 2])"),
        ("classes.cuts=[1, .nan, 2, 3]", "classes.cuts: must be four ascending numbers, e.g. [-7, -3, -1, 1] (given: [1, .nan, 2, 3])"),
        ("scoring.max_failed_share=2", "scoring.max_failed_share: must be a number from 0 to 1 (given: 2)"),
        ("cluster.gpus_per_actor=.inf", "cluster.gpus_per_actor: must be a number above 0 (given: .inf)"),
        ("window.strand=left", "window.strand: must be forward, reverse or both (given: left)"),
        ("model.allow_unvalidated=maybe", "model.allow_unvalidated: must be true or false (given: maybe)"),
        ("input.circular=1", """input.circular: must be text, or a list of texts (given: 1; as text '1', in a shell "'1'")"""),
        (
            "output.extra_columns=[jds]",
            "output.extra_columns: must be one of site_llr, entropy, jsd, peak or peak_offset, or a list of these (given: [jds])",
        ),
        (
            "embed.pool=[suffix, left:3]",
            "embed.pool: must be variant, right:K (K bases, as in right:64) or suffix, or a list of these (given: [suffix, 'left:3'])",
        ),
        ("embed.pool=[]", "embed.pool: must be variant, right:K (K bases, as in right:64) or suffix, or a list of these (given: [])"),
        (
            "embed.store=pca:64",
            "embed.store: must be float32, float16, projection:D (D dimensions, as in projection:256) or none (given: pca:64)",
        ),
        ("embed.distances=[l1]", "embed.distances: must be one of l2 or cosine, or a list of these (given: [l1])"),
        ("left=5", "left: no such setting; did you mean window.left?"),
        ("model.left=5", "model.left: no such setting; did you mean window.left?"),
        ("window.colour=red", "window.colour: no such setting"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_what_it_can_be(override, fault):
    assert faults(override) == [fault]


def test_no_wrong_value_of_any_setting_is_told_in_the_words_of_the_library():
    for room, section in Settings.model_fields.items():
        for key in section.annotation.model_fields:
            for value in ("''", "-1", "1.5", "true", "[1, 2]", "{a: 1}", "2024-01-01", ".nan"):
                for fault in faults(f"{room}.{key}={value}"):
                    assert fault.startswith(f"{room}.{key}: must be "), fault
                    assert "Input" not in fault and "valid" not in fault.replace("unvalidated", ""), fault


def test_null_is_the_default():
    assert load_settings(None, ["window.left=null"], GIVEN) == load_settings(None, given=GIVEN)


def test_the_flag_of_a_setting_is_named_where_the_command_has_it():
    flags = {"input.variants": None, "input.pairs": None, "output.path": None}
    with pytest.raises(SettingsError) as error:
        load_settings(None, given=flags)
    assert str(error.value).splitlines() == [
        "2 errors in the settings:",
        "  input.variants (--variants) or input.pairs (--pairs): say what is to be scored",
        "  output.path (--out): say where the scores go",
    ]
    with pytest.raises(SettingsError, match=r"output\.path: say where"):
        load_settings(None)


def test_a_setting_that_is_wrong_is_not_also_missing():
    with pytest.raises(SettingsError) as error:
        load_settings(None, ["window.stride=abc"], {**GIVEN, "output.path": ""})
    assert str(error.value).splitlines() == [
        "2 errors in the settings:",
        "  window.stride: must be a whole number of at least 1, or null (given: abc)",
        "  output.path (--out): must be text, not empty, or null (given: '')",
    ]


def test_a_grid_without_a_stride_is_a_fault():
    with pytest.raises(SettingsError, match=r"window.stride: windows on a grid \(window.anchor\) need it"):
        load_settings(None, ["window.anchor=grid"], GIVEN)


def test_gaps_are_listed_with_the_faults():
    with pytest.raises(SettingsError) as error:
        load_settings(None, ["window.right=-1"])
    for fault in ("window.right", "input.variants or input.pairs: say what", "output.path"):
        assert fault in str(error.value)


def test_settings_can_be_shown_before_there_is_an_input():
    assert load_settings(None, complete=False).output.path is None


def test_what_is_missing_is_listed_at_once():
    with pytest.raises(SettingsError) as error:
        load_settings(None, ["input.variants=v.vcf"])
    assert "input.reference" in str(error.value)
    assert "output.path" in str(error.value)


def test_variants_or_pairs_but_not_both():
    with pytest.raises(SettingsError, match="give one of them, not both"):
        load_settings(None, given={**GIVEN, "input.pairs": ["b"]})


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


def test_one_column_stands_for_a_list_and_none_is_there_twice():
    for given, columns in (("jsd", ["jsd"]), (["peak", "jsd", "peak"], ["peak", "jsd"])):
        assert load_settings(None, given={**GIVEN, "output.extra_columns": given}).output.extra_columns == columns


def test_embeddings_of_a_position_table_are_refused():
    with pytest.raises(SettingsError, match=r"scoring\.prescored: a position table holds no states"):
        load_settings(None, ["embed.layers=norm", "scoring.prescored=table"], GIVEN)
    with pytest.raises(SettingsError, match=r"holds no states; leave it out, or classes\.heads"):
        load_settings(None, ["classes.heads=[missense]", "scoring.prescored=table"], GIVEN)


def test_distances_without_layers_are_refused():
    with pytest.raises(SettingsError, match=r"embed\.layers: embed\.distances are of the states of layers; name those"):
        load_settings(None, ["embed.distances=l2"], GIVEN)


def test_nothing_is_embedded_where_no_layer_is_named():
    assert load_settings(None, ["embed.store=float16"], GIVEN).embed.request is None
    request = load_settings(None, ["embed.layers=norm", "embed.store=none", "embed.distances=l2"], GIVEN).embed.request
    assert (request.plan.layers, request.storage, request.distances) == (("norm",), None, ("l2",))
