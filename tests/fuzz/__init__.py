"""Fuzzing that is led by what of the detector an input reaches. `make fuzz` runs all of it.

    python -m tests.fuzz.patterns [libFuzzer's arguments] [folders of inputs, or one input again]

These are no tests: they run for as long as they are let, and need atheris, which has no wheel for
every platform.
"""
