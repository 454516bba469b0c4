"""``python -m controller`` is ``hf-runner-controller``."""

from controller.cli import main

if __name__ == "__main__":
    main()
