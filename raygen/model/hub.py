"""Files of a model on the Hugging Face hub to a folder; the user's token, cache and HF_HUB_OFFLINE hold as everywhere."""

from __future__ import annotations

import re
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

from raygen.errors import InputError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def fetch_from_hub(hub_id: str, revision: str | None, files: Sequence[str]) -> Path:
    """The folder in the hub cache that holds the files of these patterns, fetched if they are not there yet.

    Raises:
        InputError: there is no such model or revision, it is gated, or there is no network.
    """
    at = f"{hub_id} at revision {revision}" if revision else hub_id
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(files)))
    except GatedRepoError:
        raise InputError(
            f"{hub_id} is gated: accept its conditions on huggingface.co and log in with `hf auth login` or set HF_TOKEN."
        ) from None
    except RepositoryNotFoundError:
        raise InputError(
            f"The hub has no model {hub_id}, or it is private and needs a token (HF_TOKEN). There is no such folder either."
        ) from None
    except RevisionNotFoundError:
        raise InputError(f"{hub_id} has no revision {revision!r}.") from None
    except LocalEntryNotFoundError:
        raise InputError(
            f"{at} is not in the local hub cache and the hub cannot be reached (no network, or HF_HUB_OFFLINE is set). "
            "Fetch it where there is a network, or give a local folder; there is no folder of this name either."
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise InputError(f"{at} cannot be fetched from the hub: {str(error).splitlines()[0]}") from error
