"""The Hub: HF Jobs, hardware and prices over the few routes that we use, and the script that makes an image a
runner.

Implements the ports ``Hub`` and ``Hardware``. ``controller.execute`` imports the script's side of it.
"""

from __future__ import annotations

import os

# huggingface_hub reads its environment once, when it is first imported, so this comes before any of our
# modules. Telemetry would make the first user agent wait for a GET (hf-jobs.md §5.10); HF_DEBUG would log
# request bodies, and ours carry secrets.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.pop("HF_DEBUG", None)
