"""``RunnerPool.spec``: fields, defaults, limits, and the rules between them; :mod:`.pool` is the whole.

Every description shows up in ``kubectl explain rp.spec``; every list and string has a bound, so that the API
server can tell at install time that the CEL rules are cheap.
"""
