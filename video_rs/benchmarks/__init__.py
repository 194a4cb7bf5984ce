"""Speed and memory against peers and limits, each measured in a process of its own, all of them in turn.

``subject`` says what can be measured, ``measuring`` measures it in processes (``process``, ``worker``), and ``table``
prints it beside the ``machine``. Each kind of benchmark has a module that lists its subjects and columns
(``network_benchmark``, ``loop_benchmark``, ``data_benchmark``, ``eval_benchmark``) and one with the calls that are
timed (``network_calls``, ``loop_calls``, ``data_calls``, ``eval_calls``). ``our_loop``, ``loader`` and ``our_testing``
build our loop, our reading and our testing as a run has them; peers lie in ``networks``, ``data_peers`` and
``eval_peers``. ``endurance``, ``probing_rates`` and ``recordings`` measure what else belongs to reading,
``cold_prediction`` what else belongs to testing: the first answer of a process. ``gpu_benchmark`` measures parts of all
of these one after the other in a given time: ``gpu_parts`` says which, ``peaks`` what they are a share of, and
``gpu_page`` writes them into a page.
"""
