"""GitHub and the Hugging Face Hub as synchronous, stateful worlds, and the doors that lead into them.

A distribution of its own, ``hf-runner-simulators``. It imports nothing of the controller
(``lint-imports`` checks it), so that both cannot share a mistake about the services. ``github`` and
``hub`` are the services; ``http``, ``exchange``, ``faults`` and ``doors`` are the wire, with its
faults; ``serve`` puts both on sockets.
"""

__version__ = "0.1.0"
