"""``RunnerPool.status``: one typed model (:mod:`.model`), from which the CRD and the
reference page are generated.

The controller fills it from what a pass found (:mod:`.build`, and a module for each part of it), compares
it with what it wrote before (:mod:`.changes`), and reads it back from the API server (:mod:`.stored`). No
other module knows its fields.
"""
