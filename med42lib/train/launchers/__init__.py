"""Where training processes run: on this machine, or on a cluster.

`launcher` says what a launcher does, and gives the one that the environment asks for: `local`, or `pytorchjob`, which
makes of the platform's `template`, changed by `patches`, a job, and watches it through `cluster`: what its `pods` say
of themselves, and the `followed_log` of the first.
"""
