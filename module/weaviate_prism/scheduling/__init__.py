"""What waits for CPU threads and devices, who goes first, and the threads that run it; knows no items or doors.

`stages.py` is where all others come in; `scheduler.py` decides.
"""
