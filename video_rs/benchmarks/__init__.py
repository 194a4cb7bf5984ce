"""Speed and memory against peers and limits, each measured in a process of its own, all of them in turn.

``subject`` says what can be measured, ``measuring`` measures it, ``table`` prints it. Each kind of benchmark has a
module that lists its subjects, ratios and columns (``network_benchmark``, ``loop_benchmark``, ``data_benchmark``) and
one with the calls that are timed.
"""
