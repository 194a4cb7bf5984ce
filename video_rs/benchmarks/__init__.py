"""Speed and memory against peers and limits, each measured in a process of its own, all of them in turn.

``subject`` says what can be measured, ``measuring`` measures it in processes (``process``, ``worker``), and ``table``
prints it beside the ``machine``. Each kind of benchmark has a module that lists its subjects and columns
(``network_benchmark``, ``loop_benchmark``, ``data_benchmark``) and one with the calls that are timed
(``network_calls``, ``loop_calls``, ``data_calls``). ``our_loop`` and ``loader`` build our loop and our reading as a run
has them; peers lie in ``networks`` and ``data_peers``. ``endurance``, ``probing_rates`` and ``recordings`` measure what
else belongs to reading.
"""
