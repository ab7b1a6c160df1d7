"""Files of a model on the Hugging Face hub to a folder; the user's token, cache and HF_HUB_OFFLINE hold as everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from raygen.errors import InputError, first_line

_LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


def fetch_from_hub(hub_id: str, revision: str | None, files: Sequence[str]) -> Path:
    """The folder in the hub cache that holds the files of these patterns, fetched if they are not there yet.

    Raises:
        InputError: there is no such model or revision, it is gated, or it could not be fetched.
    """
    source = f"{hub_id} at revision {revision}" if revision else hub_id
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(files)))
    except GatedRepoError:
        raise InputError(f"{hub_id} is gated: accept its conditions on huggingface.co and {_LOG_IN}.") from None
    except RepositoryNotFoundError:
        raise InputError(
            f"The hub has no model {hub_id}, or it is private and needs a token (HF_TOKEN). There is no such folder either."
        ) from None
    except RevisionNotFoundError:
        missing = f"no revision {revision!r}" if revision else "no main revision: name one with model.revision"
        raise InputError(f"{hub_id} has {missing}.") from None
    except LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, HfHubHTTPError):  # the hub was reached, and said no
            raise InputError(_refused(source, error.__cause__)) from error
        raise InputError(
            f"{source} is not in the local hub cache and the hub cannot be reached (no network, or HF_HUB_OFFLINE is set). "
            "Fetch it where there is a network, or give a local folder; there is no folder of this name either."
        ) from None
    except HfHubHTTPError as error:
        raise InputError(_refused(source, error)) from error
    except Exception as error:
        raise InputError(
            f"{source} cannot be fetched from the hub: {first_line(error)}. What was fetched is kept, and the same command goes on."
        ) from error


def _refused(source: str, error: HfHubHTTPError) -> str:
    """What the hub answered, in words."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    message = (getattr(error, "server_message", None) or first_line(error)).rstrip(".")
    answer = f"{source} cannot be fetched from the hub{f', which answers {status}' if status else ''}: {message}"
    if status in (401, 403):
        return f"{answer}. Is the token valid, and may it read this model? Else {_LOG_IN}."
    return f"{answer}. Try again later." if status == 429 or (status or 0) >= 500 else f"{answer}."
