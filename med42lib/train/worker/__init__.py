"""What runs on the nodes of a training: torchrun's agent on each, and a process per GPU.

Nodes share nothing but addresses: they read the job, the data and the base model by address, each node into a folder of
its own, and the first process puts what was trained into the store.
"""
