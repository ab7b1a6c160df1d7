import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes and the demonstration model are cached away from the user's own."""
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path_factory.getbasetemp() / "raygen-cache"))
