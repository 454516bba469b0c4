"""A mutation check: is each decision of the core seen by a test on its lowest rung?

A mutant is the product with one small change: a comparison negated, a number one higher, a statement left
out. The tests that are nearest to the file have to fail on it; where they pass, nothing tests what was
changed. ``make mutants`` takes a sample by a seed, prints the survivors, and fails when fewer than nine in
ten were noticed.

* :mod:`tools.mutants.operators` makes all mutants of a source text.
* :mod:`tools.mutants.equivalent` leaves out those that change nothing that anybody could see.
* :mod:`tools.mutants.rungs` says which tests a file is held to.
* :mod:`tools.mutants.runner` runs these tests on one mutant, in a fork.

Why no library does this: mutmut and cosmic-ray take no sample by a seed, and neither knows an equivalent
mutant again by its text after the lines have moved. Each also runs the tests as they come. Here a fork of a
process that has imported what is not ours runs first those tests that call the changed function, the
quickest first.
"""
