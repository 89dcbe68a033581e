"""Long runs of real nodes, and what must stay as it was: memory, threads, files, sockets (`python -m rig.soak`)."""
