"""The runner behind `perf/run`: alternating pairs of servers on one pinned core.

machine  what this machine is, how busy it is, CPU time of a process
servers  how each server is started, loaded with keys and ended
loads    one run of one load against one server: quorate-perf or redis-benchmark
cells    the table of what is measured, with the speed to reach
session  rounds of alternating runs, kept out of noisy windows
record   the dated record: Markdown to read, JSON to compute with

Only Python's standard library, so that it runs wherever the repository is checked out.
"""
