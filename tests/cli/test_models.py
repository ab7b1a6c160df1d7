"""``raygen convert``, as a user calls it."""

from __future__ import annotations

from pathlib import Path

import yaml
from typer.testing import CliRunner

from raygen.cli.entry import app
from raygen.model.loading import describe_network
from tests.model.models import small_evo2_config
from tests.model.published_evo2 import published_tensors, write_published


def test_convert_says_what_it_wrote_and_what_it_left_out(tmp_path: Path) -> None:
    config = small_evo2_config()
    file = write_published(tmp_path / "mine.pt", published_tensors(config), num_parts=2)
    settings = {name: value for name, value in config.keys().items() if name != "card"}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(settings))
    command = ["convert", str(file), "--to", str(tmp_path / "my model"), "--config", str(tmp_path / "mine.yml")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "44 tensors, 0.1 MB in 1 file:" in result.output
    assert f"Next: raygen score --model '{tmp_path / 'my model'}' ..." in result.output
    assert "Not taken over: unembed.weight (the embedding again)." in result.output
    assert describe_network(tmp_path / "my model", device="cpu").num_layers == 4
